"""The promises of a method that differentiates through training, or around it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from gradlab import core
from gradlab.core import Data, Entry, Traits
from gradlab.testing import _protocol
from gradlab.testing._claims import key_decides
from gradlab.testing._failure import require
from gradlab.testing._handles import handles, map_numbers, with_number
from gradlab.testing._subject import compiled_once, far, flat

KEYS = 256
"""How often a stochastic estimate is drawn, to look at its mean."""

TOLERANCE = 1e-6


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class QuadraticProblem:
    """A bilevel problem with a known answer: what the contract tries hypergradients on.

    The inner objective is ½ yᵀAy − yᵀ(Bx + c), so that y*(x) = A⁻¹(Bx + c); the outer one
    ½‖y − t‖² + ½‖x‖². The eigenvalues of A lie in [0.5, 1.5]: gradient steps of 0.5 halve the
    distance to y* at least every three steps. Outer and inner variables are trees.

    Attributes:
      curvature: A, of shape (4, 4).
      coupling: B, of shape (4, 3).
      offset, target: c and t, of shape (4,).
    """

    curvature: jax.Array
    coupling: jax.Array
    offset: jax.Array
    target: jax.Array

    @classmethod
    def make(cls, dtype: Any = None) -> Self:
        """The problem, in float32 unless said otherwise."""
        draw = np.random.default_rng(0)
        axes = np.linalg.qr(draw.normal(size=(4, 4)))[0]
        curvature = axes @ np.diag([0.5, 0.8, 1.1, 1.5]) @ axes.T
        rest = (draw.normal(size=shape) for shape in ((4, 3), (4,), (4,)))
        return cls(*(jnp.asarray(x, dtype or jnp.float32) for x in (curvature, *rest)))

    def outer_variables(self, place: float = 0.0) -> dict[str, jax.Array]:
        """Outer variables to start from; another place gives others."""
        x = jnp.cos(jnp.arange(1.0, 4.0) + place).astype(self.offset.dtype)
        return {"shift": x[:2], "gain": x[2]}

    def inner_variables(self) -> dict[str, jax.Array]:
        """Inner variables to start from."""
        return {"w": jnp.zeros(3, self.offset.dtype), "b": jnp.zeros((), self.offset.dtype)}

    def inner(self, x: Any, y: Any) -> jax.Array:
        """The objective of the inner variables, a scalar."""
        x, y = ravel_pytree(x)[0], ravel_pytree(y)[0]
        return y @ self.curvature @ y / 2 - y @ (self.coupling @ x + self.offset)

    def outer(self, x: Any, y: Any) -> jax.Array:
        """The objective of the outer variables, a scalar."""
        x, y = ravel_pytree(x)[0], ravel_pytree(y)[0]
        return jnp.sum(jnp.square(y - self.target)) / 2 + jnp.sum(jnp.square(x)) / 2

    def solution(self, x: Any) -> Any:
        """The inner variables that are best at x."""
        x = ravel_pytree(x)[0]
        best = jnp.linalg.solve(self.curvature, self.coupling @ x + self.offset)
        return ravel_pytree(self.inner_variables())[1](best)

    def hypergradient(self, x: Any) -> Any:
        """The derivative of the outer objective at x, with the inner variables at their best."""
        return jax.grad(lambda x: self.outer(x, self.solution(x)))(x)


@dataclasses.dataclass(frozen=True, eq=False)
class HypergradientSubject:
    """A method under test.

    Attributes:
      opt: the method: data, or a function with some arguments given.
      estimate: as in `Entry.estimate`.
      traits: as in `Entry.traits`.
      make: builds another instance from keyword arguments, for the checks of bad input.
      search: hyperparameters that the declared search space names.
    """

    opt: Any
    estimate: Callable[[Any, Any, Any, Any], Any]
    traits: Traits = dataclasses.field(default_factory=Traits)
    make: Callable[..., Any] | None = None
    search: tuple[str, ...] = ()

    @classmethod
    def of(cls, entry: Entry) -> HypergradientSubject:
        if entry.estimate is None:
            raise TypeError(f"the entry {entry.name} has no estimate= for the contract to try")
        search = tuple(entry.search_space)
        return cls(entry.make(), entry.estimate, entry.traits, entry.make, search)

    @property
    def is_data(self) -> bool:
        return isinstance(self.opt, Data)

    def at(self, problem: QuadraticProblem, place: float = 0.0, seed: int = 0) -> Any:
        """What the method gives, as it is called by hand."""
        x = problem.outer_variables(place)
        return self.estimate(self.opt, problem, x, jax.random.PRNGKey(seed))


def _compiled(subject: HypergradientSubject) -> Callable[[Any, Any, Any, Any], Any]:
    """The estimate as a program; what is data is an argument of it."""
    if subject.is_data:
        return compiled_once(subject.estimate)
    fixed = compiled_once(lambda *arguments: subject.estimate(subject.opt, *arguments))
    return lambda _, *arguments: fixed(*arguments)


def check_protocol(subject: HypergradientSubject) -> str:
    """It gives numbers for each outer variable, changes nothing, and eager equals jit."""
    problem = QuadraticProblem.make()
    x, key = problem.outer_variables(), jax.random.PRNGKey(0)
    before = jax.tree.map(np.array, (problem, x))
    found = subject.at(problem)
    same = jax.tree.map(np.array_equal, before, jax.tree.map(np.array, (problem, x)))
    require(all(jax.tree.leaves(same)), "it changed its arguments")
    alike = jax.tree.structure(found) == jax.tree.structure(x)
    require(alike, f"it gives {jax.tree.structure(found)} for {jax.tree.structure(x)}")
    require(bool(jnp.all(jnp.isfinite(flat(found)))), f"it is not finite: {found}")
    again = _compiled(subject)(subject.opt, problem, x, key)
    error = float(jnp.max(jnp.abs(flat(found) - flat(again)))) / float(
        jnp.max(jnp.abs(flat(found)))
    )
    require(error < 1e-4, f"eagerly and under jit it differs by {error:.1e} of the largest entry")
    return "like the outer variables; eager equals jit"


def check_data(subject: HypergradientSubject) -> str:
    """What it can be configured with are leaves, it is a value, and one trace serves all."""
    if not subject.is_data:
        return "a function: nothing to configure"
    _protocol.check_data(subject)
    traces = 0

    def counted(*arguments: Any) -> Any:
        nonlocal traces
        traces += 1
        return subject.estimate(*arguments)

    run, names = compiled_once(counted), [handle.name for handle in handles(subject.opt)]
    others = map_numbers(lambda h, x: far(x, h.interval), subject.opt)
    # In float64: how a solver gets there shows in its last digits only.
    with jax.enable_x64(True):
        problem, key = QuadraticProblem.make(jnp.float64), jax.random.PRNGKey(0)
        x = problem.outer_variables()
        base = flat(run(subject.opt, problem, x, key))
        for i, (name, value) in enumerate(zip(names, others, strict=True)):
            other = flat(run(with_number(subject.opt, i, value), problem, x, key))
            same = np.allclose(base, other, rtol=1e-12, atol=0)
            require(not same, f"{name} has no effect: another value gives the same hypergradient")
    require(traces == 1, f"other values of its hyperparameters took {traces} traces, not one")
    return f"{len(others)} hyperparameters, each with an effect"


def check_bad_input(subject: HypergradientSubject) -> str:
    """Out-of-range hyperparameters and misspelt keywords say what is wrong."""
    if not subject.is_data:
        return "a function: nothing to configure"
    _protocol.check_ranges(subject)
    _protocol.check_keywords(subject)
    return "messages name argument, value and bound"


def check_accuracy(subject: HypergradientSubject) -> str:
    """In float64 it is the derivative in closed form; its mean, where it is stochastic.

    A method that declares a bias has one, and still points uphill.
    """
    with jax.enable_x64(True):
        problem = QuadraticProblem.make(jnp.float64)
        x = problem.outer_variables()
        exact = np.asarray(flat(problem.hypergradient(x)))
        keys = jax.random.split(jax.random.PRNGKey(0), KEYS if subject.traits.stochastic else 1)
        drawn = jax.vmap(lambda key: flat(subject.estimate(subject.opt, problem, x, key)))
        draws = np.asarray(compiled_once(drawn)(keys))
    error, allowed = draws.mean(0) - exact, TOLERANCE * np.max(np.abs(exact))
    if subject.traits.stochastic:
        spread = draws.std(0, ddof=1) / np.sqrt(KEYS)
        telling = np.max(spread) < 0.2 * np.max(np.abs(exact))
        require(telling, f"its draws vary too much to tell: the mean's standard error is {spread}")
        allowed = allowed + 5 * spread
    far_off = bool(np.any(np.abs(error) > allowed))
    said = f"{draws.mean(0)}, in closed form {exact}"
    if not subject.traits.biased:
        require(not far_off, f"its hypergradient is {said}")
        return f"largest error {np.max(np.abs(error)):.1e}"
    require(far_off, f"it declares a bias, but its hypergradient is {said}")
    require(draws.mean(0) @ exact > 0, f"it points downhill: {said}")
    return f"biased by up to {np.max(np.abs(error)):.1e}"


def check_vmap(subject: HypergradientSubject) -> str:
    """Several outer variables at once, as an array axis, give what a loop gives."""
    problem, key, run = QuadraticProblem.make(), jax.random.PRNGKey(0), _compiled(subject)
    several = [problem.outer_variables(place) for place in (0.0, 1.0, 2.0)]
    one_by_one = jnp.stack([flat(run(subject.opt, problem, x, key)) for x in several])

    def estimate(x: Any) -> Any:
        return flat(subject.estimate(subject.opt, problem, x, key))

    at_once = compiled_once(jax.vmap(estimate))(core.stack(several))
    error = float(jnp.max(jnp.abs(one_by_one - at_once)) / jnp.max(jnp.abs(one_by_one)))
    require(error < 1e-4, f"vmapped outer variables differ from a loop by {error:.1e}")
    return f"largest difference {error:.1e}"


def check_dtypes(subject: HypergradientSubject) -> str:
    """Each derivative has the dtype of its variable, with 64-bit numbers on or off."""
    for wide in (False, True):
        with jax.enable_x64(wide):
            problem = QuadraticProblem.make(jnp.float32)
            x, key = problem.outer_variables(), jax.random.PRNGKey(0)
            found = jax.eval_shape(
                lambda *given: subject.estimate(subject.opt, *given), problem, x, key
            )
        kept = all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(found))
        require(kept, f"float32 variables get {jax.tree.map(lambda leaf: leaf.dtype, found)}")
    return "float32 stays float32"


def check_stochastic(subject: HypergradientSubject) -> str:
    """The key decides, or there is none."""
    problem = QuadraticProblem.make()
    estimates = [np.asarray(flat(subject.at(problem, seed=seed))) for seed in (0, 0, 1)]
    return key_decides(estimates, subject.traits.stochastic, "estimate")


PROMISES: dict[str, Callable[[Any], str]] = {
    "it gives a hypergradient": check_protocol,
    "it is data": check_data,
    "bad input is refused": check_bad_input,
    "it equals the closed form, or says why not": check_accuracy,
    "vmap over outer variables equals a loop": check_vmap,
    "dtypes are stable": check_dtypes,
    "stochastic": check_stochastic,
}
"""Each promise of a hypergradient, in plain words, and the function that checks it."""
