"""What the contract is tried on: a transformation, and one small problem for all.

The problem holds everything on which optimizers break: a unit that is dead from the start,
an embedding row that is never read, a head initialised at zero, a parameter that the loss
does not use, a scalar. Where a gradient is zero there, it is exactly zero.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradlab import core
from gradlab.core import Entry, Traits, Transform
from gradlab.testing._handles import Handle, map_numbers, put, with_number

STEPS = 20
DESCENT = -0.005
"""What the updates of a transformation of gradients are multiplied by, to train with them."""

OBJECTIVES = 3

SHARED = np.random.default_rng(1).normal(size=(3, 2))
"""What the head is when its parameters are zero, in units of the gain."""


def problem_params(dtype: Any = None) -> dict[str, Any]:
    """Parameters of the canonical problem, in float32 unless said otherwise."""
    draw = np.random.default_rng(0)

    def array(*shape: int) -> jax.Array:
        return jnp.asarray(draw.normal(size=shape), dtype or jnp.float32)

    return {
        "embed": array(3, 4),
        "hidden": {"kernel": array(4, 3), "bias": array(3).at[2].set(-100.0)},
        "head": jnp.zeros((3, 2), dtype or jnp.float32),
        "gain": array(),
        "unused": array(2),
    }


def outputs_of(params: Any) -> jax.Array:
    """What a small network with two outputs says of four examples."""
    shared = jnp.asarray(SHARED, params["gain"].dtype)
    inputs = params["embed"][np.array([0, 1, 0, 1])]
    hidden = jax.nn.relu(inputs @ params["hidden"]["kernel"] + params["hidden"]["bias"])
    return (hidden @ (params["head"] + 0.1 * shared * params["gain"])) * 3


def objectives(params: Any) -> jax.Array:
    """Three losses of the parameters, which pull in different directions."""
    draw = np.random.default_rng(1)
    draw.normal(size=SHARED.shape)  # the numbers after those
    dtype = params["gain"].dtype
    outputs = outputs_of(params)
    # Three directions at 120 degrees, so that every two objectives conflict, and a fourth
    # that they share.
    turns = np.exp(2j * np.pi * np.arange(OBJECTIVES) / OBJECTIVES)[:, None, None]
    pulls = np.real(turns * (draw.normal(size=(4, 2)) + 1j * draw.normal(size=(4, 2))))
    targets = jnp.asarray(pulls + 0.3 * draw.normal(size=(4, 2)), dtype)
    return jnp.mean(jnp.square(outputs - 4 * targets), axis=(1, 2)) + 0.1 * jnp.square(
        params["gain"] - 1
    )


def loss(params: Any) -> jax.Array:
    """The sum of the objectives."""
    return jnp.sum(objectives(params))


@dataclasses.dataclass(frozen=True, eq=False)
class Subject:
    """A transformation under test.

    Attributes:
      opt: the transformation.
      needs: as in `Entry.needs`.
      traits: as in `Entry.traits`.
      update_scale: what updates are multiplied by before they are added to parameters:
        1 for optimizers, a negative number for transformations of gradients.
      make: builds another instance from keyword arguments, for the checks of bad input.
      search: hyperparameters that the declared search space names.
      more: as in `Entry.extra`.
    """

    opt: Transform
    needs: tuple[str, ...] = ()
    traits: Traits = dataclasses.field(default_factory=Traits)
    update_scale: float = 1.0
    make: Callable[..., Transform] | None = None
    search: tuple[str, ...] = ()
    more: Callable[[Any, dict[str, Any]], dict[str, Any]] | None = None

    @classmethod
    def of(cls, entry: Entry) -> Subject:
        ascends = entry.room in ("transforms", "aggregators") or entry.name.startswith("scale_by")
        return cls(
            entry.make(),
            entry.needs,
            entry.traits,
            DESCENT if ascends and "descent" not in entry.needs else 1.0,
            entry.make,
            tuple(entry.search_space),
            entry.extra,
        )

    @property
    def stacked(self) -> bool:
        """Whether gradients come with a leading axis of objectives."""
        return "stacked" in self.needs

    def gradients(self, params: Any) -> Any:
        """What `update` is handed on the canonical problem: gradients.

        One for each objective where stacked; turned round where it has to point downhill.
        """
        gradients = jax.jacrev(objectives)(params) if self.stacked else jax.grad(loss)(params)
        return jax.tree.map(jnp.negative, gradients) if "descent" in self.needs else gradients

    def like_gradients(self, params: Any, fill: Any = 0.0) -> Any:
        """Constant gradients for any tree of parameters."""
        lead = (OBJECTIVES,) if self.stacked else ()
        return jax.tree.map(
            lambda p: jnp.full(lead + jnp.shape(p), fill, jnp.result_type(p)), params
        )

    def extra(self, params: Any, grad_fn: Callable[[Any], Any] | None = None) -> dict[str, Any]:
        """Extra arguments, as a training loop would pass them: reserved ones and its own.

        With one gradient for each objective there is a loss for each, too.
        """
        reserved = {
            "value": loss(params),
            "grad": jax.grad(loss)(params),
            "value_fn": loss,
            "grad_fn": grad_fn or jax.grad(loss),
            "key": jax.random.PRNGKey(0),
        }
        losses = {"losses": objectives(params)} if self.stacked else {}
        return losses | self.completed(params, reserved)

    def completed(self, params: Any, reserved: dict[str, Any]) -> dict[str, Any]:
        """The reserved extra arguments, and those of its own, for any parameters."""
        own = {} if self.more is None else self.more(params, reserved)
        return {**reserved, **own}

    def required_extra(self, params: Any) -> dict[str, Any]:
        """Only those extra arguments without which the transformation cannot work."""
        required = self.opt.rule.required()
        return {name: value for name, value in self.extra(params).items() if name in required}

    def train(self, opt: Any, params: Any) -> tuple[Any, Any]:
        """Trains on the canonical problem; gives the loss and the parameters to evaluate with."""

        def body(carry: Any, _: Any) -> tuple[Any, Any]:
            params, state = carry
            gradients = self.gradients(params)
            updates, state = opt.update(gradients, state, params, **self.required_extra(params))
            params = jax.tree.map(lambda p, u: p + self.update_scale * u, params, updates)
            return (params, state), None

        (params, state), _ = jax.lax.scan(body, (params, opt.init(params)), None, length=STEPS)
        params = core.eval_params(opt, state, params)
        return loss(params), params

    def decides_elsewhere(self, index: int) -> bool:
        """Whether a hyperparameter changes the step that follows infinite gradients."""
        opt = interior(self.opt)
        other = map_numbers(lambda h, x: far(x, h.interval), opt)
        with jax.enable_x64(True):
            params = problem_params(jnp.float64)
            gradients = self.gradients(params)
            infinite = jax.tree.map(lambda g: jnp.full_like(g, jnp.inf), gradients)

            def last(opt: Any) -> np.ndarray:
                state, updates = opt.init(params), gradients
                for g in (gradients, infinite, gradients):
                    updates, state = opt.update(g, state, params, **self.required_extra(params))
                return np.asarray(flat(updates))

            one, two = last(opt), last(with_number(opt, index, float(other[index])))
        finite = bool(np.all(np.isfinite(one)) and np.all(np.isfinite(two)))
        return finite and not np.allclose(one, two, rtol=1e-12, atol=1e-12)


IN_A_HURRY = {
    "xla_backend_optimization_level": 0,
    "xla_cpu_use_fusion_emitters": False,
    "xla_llvm_disable_expensive_passes": True,
}


def compiled_once(function: Callable[..., Any]) -> Callable[..., Any]:
    """`jax.jit` for a program that runs a few times: optimising it takes longer than that."""
    return jax.jit(function, compiler_options=IN_A_HURRY)


@functools.lru_cache(maxsize=4)
def _jitted(subject: Subject) -> Callable[..., Any]:
    def one(opt: Any, gradients: Any, state: Any, params: Any) -> Any:
        extra = subject.required_extra(params)
        return opt.update(gradients, state, params, **extra)

    return compiled_once(one)


def step(subject: Subject, gradients: Any, state: Any, params: Any) -> Any:
    """One compiled step on the canonical problem; compiled once for each subject."""
    return _jitted(subject)(subject.opt, gradients, state, params)


def flat(tree: Any) -> jax.Array:
    """All numbers of a tree in one vector."""
    return jnp.concatenate([jnp.ravel(x) for x in jax.tree.leaves(tree)])


def interior(opt: Transform) -> Transform:
    """The optimizer moved off the bounds of its ranges, so that it can vary both ways.

    Numbers below 1e-3 in size are raised to 1e-3 where their range allows: their effect
    would drown in rounding.
    """

    def move(handle: Handle, x: float) -> float:
        interval = handle.interval
        moved = 1e-3 if abs(x) < 1e-3 else x
        if moved >= interval.high:
            moved = x - 1e-3 * (interval.high - max(interval.low, x - 1))
        return moved if interval.contains(np.asarray(moved * (1 + 1e-4))) else x

    return put(opt, map_numbers(move, opt))


def room(x: float, interval: core.Interval) -> float:
    """The scale on which a hyperparameter varies: its size, or its distance to a bound.

    A decay of 0.999 varies on the scale of 0.001.
    """
    gaps = [abs(x - bound) for bound in (interval.low, interval.high) if x != bound]
    return min([abs(x), *gaps])


def far(x: float, interval: core.Interval) -> float:
    """A value well away from `x`, inside the range."""
    for candidate in (x * 3 + 0.3, x / 3, (x + interval.low) / 2, (x + interval.high) / 2):
        if math.isfinite(candidate) and candidate != x and interval.contains(np.asarray(candidate)):
            return candidate
    raise ValueError(f"no other value than {x} in {interval}")
