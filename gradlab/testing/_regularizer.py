"""The promises of a regularizer: of a penalty, or of a reparameterisation."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gradlab import core
from gradlab.core import Entry, Regularizer, Reparameterization, Traits
from gradlab.testing import _derivatives, _protocol
from gradlab.testing._arrays import DTYPES
from gradlab.testing._claims import roughness, smoothness
from gradlab.testing._failure import require
from gradlab.testing._regularizer_arguments import arguments_of, places
from gradlab.testing._subject import flat, loss, problem_params

STEPS, RATE = 5, 0.01


@dataclasses.dataclass(frozen=True, eq=False)
class RegularizerSubject:
    """A regularizer under test.

    Attributes:
      opt: the regularizer.
      traits: as in `Entry.traits`.
      make: builds another instance from keyword arguments, for the checks of bad input.
      search: hyperparameters that the declared search space names.
      call: `call(regularizer, params)` gives its value on parameters of the canonical problem.
        None: it is called with what it needs.
      needs: as in `Entry.needs`.
    """

    opt: Regularizer
    traits: Traits = dataclasses.field(default_factory=Traits)
    make: Callable[..., Regularizer] | None = None
    search: tuple[str, ...] = ()
    call: Callable[[Any, Any], Any] | None = None
    needs: tuple[str, ...] | None = None

    @classmethod
    def of(cls, entry: Entry) -> RegularizerSubject:
        search = tuple(entry.search_space)
        return cls(entry.make(), entry.traits, entry.make, search, needs=entry.needs)

    @property
    def reparameterizes(self) -> bool:
        return isinstance(self.opt, Reparameterization)

    @property
    def takes_trees(self) -> bool:
        """Whether the parameters may be any tree."""
        return self.call is None and set(self.opt.needs) <= {"state"}

    def value(self, opt: Any, params: Any) -> Any:
        """What it makes of parameters."""
        if self.call is not None:
            return self.call(opt, params)
        first, arguments = arguments_of(opt, params)
        return opt(first, **arguments)

    def scalar(self, opt: Any, params: Any) -> jax.Array:
        """The same as one number."""
        value = self.value(opt, params)
        return jnp.sum(jnp.sin(flat(value))) if self.reparameterizes else value

    def train(self, opt: Any, params: Any) -> tuple[Any, Any]:
        """Gradient descent on the canonical loss, penalised; the final loss and parameters.

        It starts a little beside the parameters, where nothing is zero or equal.
        """
        params = jax.tree.map(lambda p: p + 0.1 * jnp.cos(1.0 + places(p)), params)

        def objective(params: Any) -> jax.Array:
            if self.reparameterizes:
                return loss(self.value(opt, params))
            return loss(params) + self.value(opt, params)

        def body(params: Any, _: Any) -> tuple[Any, None]:
            gradients = jax.grad(objective)(params)
            return jax.tree.map(lambda p, g: p - RATE * g, params, gradients), None

        params, _ = jax.lax.scan(body, params, None, length=STEPS)
        return loss(params), params

    def decides_elsewhere(self, index: int) -> bool:
        """No hyperparameter decides what training does not show."""
        del index
        return False


def check_protocol(subject: RegularizerSubject) -> str:
    """It is pure, gives a scalar (or parameters), and the same eagerly and under jit."""
    opt, params = subject.opt, problem_params()
    require(isinstance(opt, Regularizer), "it is no gradlab.core.Regularizer")
    before = jax.tree.map(np.array, params)
    value = subject.value(opt, params)
    same = jax.tree.map(np.array_equal, before, jax.tree.map(np.array, params))
    require(all(jax.tree.leaves(same)), "it changed its arguments")
    _check_shape(subject, value, params)
    again = jax.jit(subject.value)(opt, params)
    for a, b in zip(jax.tree.leaves(value), jax.tree.leaves(again), strict=True):
        close = np.allclose(a, b, rtol=1e-4, atol=1e-6)
        require(close, f"eagerly and under jit it differs: {a} and {b}")
    return "parameters" if subject.reparameterizes else "a scalar"


def _check_shape(subject: RegularizerSubject, value: Any, params: Any, where: str = "") -> None:
    if subject.reparameterizes:
        shapes = [jax.tree.map(lambda x: (x.shape, x.dtype), tree) for tree in (value, params)]
        require(shapes[0] == shapes[1], f"its value is not like the parameters{where}")
        return
    scalar = isinstance(value, jax.Array) and value.shape == ()
    require(scalar, f"its value is no scalar{where}: {value}")
    wide = value.dtype in (jnp.float32, jnp.float64)
    require(wide, f"its value has {value.dtype}, not float32 or wider{where}")


def check_needs(subject: RegularizerSubject) -> str:
    """What it needs is declared, and asked for by name where it is missing."""
    needs = subject.opt.needs
    if subject.needs is not None:
        require(subject.needs == needs, f"its entry declares {subject.needs}, but it needs {needs}")
    if subject.call is not None:
        return "called as it was said"
    first, arguments = arguments_of(subject.opt, problem_params())
    for name in arguments:
        rest = {key: x for key, x in arguments.items() if key != name}
        try:
            subject.opt(first, **rest)
        except TypeError as error:
            require(name in str(error), f"without {name} the message is: {error}")
        else:
            require(False, f"it declares that it needs {name}, but works without")
    return ", ".join(needs) or "nothing"


def check_bad_input(subject: RegularizerSubject) -> str:
    """Out-of-range hyperparameters and misspelt keywords say what is wrong."""
    _protocol.check_ranges(subject)
    _protocol.check_keywords(subject)
    return "messages name argument, value and bound"


def check_finite_at_zero(subject: RegularizerSubject) -> str:
    """Where parameters are zero, first and second derivatives are finite, in both modes."""
    opt = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), subject.opt)
    drawn = problem_params()

    @jax.jit
    def derivatives(params: Any) -> Any:
        ones = jax.tree.map(jnp.ones_like, (opt, params))
        first = jax.grad(subject.scalar, argnums=(0, 1))
        return {
            "value": subject.scalar(opt, params),
            "reverse-mode derivative": first(opt, params),
            "forward-mode derivative": jax.jvp(subject.scalar, (opt, params), ones)[1],
            "second derivative": jax.jvp(first, (opt, params), ones)[1],
        }

    for name, params in {
        "all parameters are zero": jax.tree.map(jnp.zeros_like, drawn),
        "one unit, row or head is zero": drawn | {"embed": drawn["embed"].at[:, 1].set(0)},
    }.items():
        for kind, value in derivatives(params).items():
            finite = all(bool(jnp.all(jnp.isfinite(x))) for x in jax.tree.leaves(value))
            require(finite, f"where {name}, its {kind} is not finite")
    return "finite in both modes"


def check_dtypes(subject: RegularizerSubject) -> str:
    """Narrow parameters are computed with in float32, and get gradients in their own dtype."""
    for opt in (subject.opt, core.as_arrays(subject.opt)):
        for dtype in DTYPES:
            params = problem_params(dtype)
            where = f" with {dtype.__name__} parameters"
            _check_shape(subject, jax.jit(subject.value)(opt, params), params, where)
            slopes = jax.eval_shape(jax.grad(subject.scalar, argnums=1), opt, params)
            kept = all(x.dtype == dtype for x in jax.tree.leaves(slopes))
            require(kept, f"a gradient is not in the dtype of its parameter{where}")
    if subject.takes_trees:
        _check_large_halves(subject)
    return "float16, bfloat16, float32"


def _check_large_halves(subject: RegularizerSubject) -> None:
    """Squares of what float16 can hold do not overflow."""
    half = {"w": jnp.asarray(300 * np.random.default_rng(0).normal(size=(4, 3)), jnp.float16)}
    single = jax.tree.map(lambda x: x.astype(jnp.float32), half)
    found, expected = (subject.scalar(subject.opt, x) for x in (half, single))
    error = abs(float(found) - float(expected)) / max(1e-3, abs(float(expected)))
    tolerance = 1e-2 if subject.reparameterizes else 1e-5
    require(error < tolerance, f"float16 parameters are not computed with in float32: {found}")


def check_state(subject: RegularizerSubject) -> str:
    """What it keeps is arrays of its own, and restored ones give the same value."""
    params = problem_params()
    state = subject.opt.init(params)
    leaves = jax.tree.leaves(state)
    for x in leaves:
        require(isinstance(x, jax.Array), f"the state holds {type(x).__name__}, not only arrays")
        narrow = jnp.issubdtype(x.dtype, jnp.floating) and jnp.finfo(x.dtype).bits < 32
        require(not narrow, f"the state is kept in {x.dtype}")
    pointers = [x.unsafe_buffer_pointer() for x in (*leaves, *jax.tree.leaves(params)) if x.size]
    require(len(set(pointers)) == len(pointers), "the state is an alias of a parameter")
    if leaves and subject.call is None and "state" in subject.opt.needs:
        restored = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)), state)
        values = [float(subject.opt(params, state=s)) for s in (state, restored)]
        require(values[0] == values[1], "a restored state gives another value than the original")
    return f"{len(leaves)} arrays"


def check_trees(subject: RegularizerSubject) -> str:
    """Odd trees work: None, masked leaves, integers, scalars, empty arrays, empty trees."""
    if not subject.takes_trees:
        return "it takes no trees: not promised"
    draw = np.random.default_rng(3)

    def array(*shape: int) -> jax.Array:
        return jnp.asarray(draw.normal(size=shape), jnp.float32)

    numbers = {
        "scalar": array(),
        "empty": array(0, 3),
        "nested": (array(2), [array(2, 3), {"deep": array(4), "kernel": array(2, 2, 3, 4)}]),
        "half": jnp.zeros((3, 2), jnp.float16),
    }

    def objective(numbers: Any) -> jax.Array:
        others = {"none": None, "masked": optax.MaskedNode(), "count": jnp.arange(4)}
        value = subject.value(subject.opt, {**numbers, **others})
        if not subject.reparameterizes:
            return value
        same = jax.tree.structure(value) == jax.tree.structure({**numbers, **others})
        require(same, "on an odd tree, its value is another tree")
        return jnp.sum(jnp.sin(flat(jax.tree.map(lambda x: x.astype(jnp.float32), value))))

    value, slopes = jax.value_and_grad(objective)(numbers)
    finite = [bool(jnp.all(jnp.isfinite(x))) for x in jax.tree.leaves((value, slopes))]
    require(all(finite), "on an odd tree, a value or gradient is not finite")
    bare = jnp.ones((3, 2))
    _check_shape(subject, subject.value(subject.opt, bare), bare, " for a single array")
    for empty in ({}, (), None):
        value = subject.value(subject.opt, empty)
        nothing = value == empty if subject.reparameterizes else float(value) == 0
        require(nothing, f"an empty tree {empty!r} gives {value!r}")
    return "containers, None, masked, integers, scalar, empty, float16 zeros"


def check_complex(subject: RegularizerSubject) -> str:
    """Complex numbers work where it is defined on them, and raise elsewhere."""
    params = problem_params(jnp.complex64)
    params = jax.tree.map(lambda x: x * (1 - 0.5j), params)
    try:
        value = subject.value(subject.opt, params)
    except (TypeError, ValueError) as error:
        require(not subject.traits.complex, f"it claims complex support but raises: {error}")
        require("complex" in str(error), f"complex parameters raise without saying so: {error}")
        return "complex parameters are refused"
    require(subject.traits.complex, "it denies complex support, but complex numbers do not raise")
    _check_shape(subject, value, params, " of complex parameters")
    require(bool(jnp.all(jnp.isfinite(flat(value)))), "its value on complex parameters: not finite")
    return "complex parameters work"


def check_sharding(subject: RegularizerSubject) -> str:
    """Parameters on eight devices give one device's numbers."""
    if not subject.takes_trees:
        return "it takes no trees: not promised"
    if jax.device_count() < 8:
        return "not tried: fewer than 8 devices"
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    placed = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    params = {"w": jnp.asarray(np.random.default_rng(4).normal(size=(16, 4)), jnp.float32)}
    run = jax.jit(jax.value_and_grad(subject.scalar, argnums=1))
    opt = core.as_arrays(subject.opt)
    many, one = (run(opt, x) for x in (jax.device_put(params, placed), params))
    many, one = (np.concatenate([np.ravel(x) for x in jax.tree.leaves(y)]) for y in (many, one))
    error = float(np.max(np.abs(many - one)) / max(1e-6, np.max(np.abs(one))))
    require(error < 1e-5, f"eight devices differ from one by {error:.1e}")
    return f"eight devices differ by {error:.1e}"


def check_smooth(subject: RegularizerSubject) -> str:
    """Its gradient has no kink or jump along lines of what it penalises, or one is documented."""
    with jax.enable_x64(True):
        first, value = problem_params(jnp.float64), functools.partial(subject.value, subject.opt)
        if not subject.takes_trees and subject.call is None:
            # Not through the network, which has kinks of its own.
            first, arguments = arguments_of(subject.opt, first)
            value = functools.partial(subject.opt, **arguments)
        changing = value if subject.reparameterizes else jax.grad(value)
        found = roughness(lambda x: flat(changing(x)), first)
    return smoothness(subject.traits, found)


def check_stochastic(subject: RegularizerSubject) -> str:
    """Random numbers come from a key that is given, or else there are none."""
    keyed = "key" in subject.opt.needs
    require(
        keyed == subject.traits.stochastic,
        f"it {'claims' if subject.traits.stochastic else 'denies'} being stochastic, but it "
        f"{'needs a key' if keyed else 'needs no key'}",
    )
    if not keyed:
        return "deterministic"
    first, arguments = arguments_of(subject.opt, problem_params())
    keys = [jax.random.PRNGKey(seed) for seed in (0, 0, 1)]
    values = [float(subject.opt(first, **{**arguments, "key": key})) for key in keys]
    require(values[0] == values[1], "the same key gives another value")
    require(values[0] != values[2], "the key has no effect")
    return "the key decides"


PROMISES: dict[str, Callable[[Any], str]] = {
    "it is a regularizer": check_protocol,
    "it is data": _protocol.check_data,
    "what it needs": check_needs,
    "bad input is refused": check_bad_input,
    "one trace for all values": _derivatives.check_one_trace,
    "vmap over a stack equals a loop": _derivatives.check_vmap_equals_loop,
    "every hyperparameter is consumed": _derivatives.check_consumed,
    "hypergradients equal finite differences": _derivatives.check_hypergradients,
    "derivatives are finite at zero": check_finite_at_zero,
    "narrow parameters": check_dtypes,
    "state is plain": check_state,
    "odd trees work": check_trees,
    "complex numbers": check_complex,
    "sharded parameters": check_sharding,
    "smooth": check_smooth,
    "stochastic": check_stochastic,
}
"""Each promise of a regularizer, in plain words, and the function that checks it."""
