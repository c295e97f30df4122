"""The promises of a method that solves bilevel problems."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradlab import core
from gradlab.core import Data, Entry, Traits
from gradlab.testing import _protocol
from gradlab.testing._block_quadratic import BlockQuadratic
from gradlab.testing._claims import key_decides
from gradlab.testing._failure import require
from gradlab.testing._handles import map_numbers
from gradlab.testing._subject import compiled_once, far, flat, interior

PROBE_STEPS = 8
SOLVING_STEPS = 3000
CLOSER = 0.1
"""What is left of the distance to the solution after `SOLVING_STEPS`, at most."""


@dataclasses.dataclass(frozen=True, eq=False)
class BilevelSubject:
    """A method under test.

    Attributes:
      opt: the method.
      traits: as in `Entry.traits`.
      make: builds another instance from keyword arguments, for the checks of bad input.
      search: hyperparameters that the declared search space names.
      needs: as in `Entry.needs`; None where there is no entry.
    """

    opt: Any
    traits: Traits = dataclasses.field(default_factory=Traits)
    make: Callable[..., Any] | None = None
    search: tuple[str, ...] = ()
    needs: tuple[str, ...] | None = None

    @classmethod
    def of(cls, entry: Entry) -> BilevelSubject:
        search = tuple(entry.search_space)
        return cls(entry.make(), entry.traits, entry.make, search, entry.needs)

    @functools.cached_property
    def quadratic(self) -> BlockQuadratic:
        return BlockQuadratic.make()

    @functools.cached_property
    def problem(self) -> Any:
        """The canonical problem, as the method wants it."""
        known = self.quadratic
        if "blocks" in self.opt.needs:
            return self.opt.problem_type(known.outer_of_block, known.inner_of_block)
        if "constraints" in self.opt.needs:
            return self.opt.problem_type(
                known.outer, known.inner, constraints=known.constraint, project=known.project
            )
        return self.opt.problem_type(known.outer, known.inner)

    def start(self, opt: Any, dtype: Any = jnp.float32) -> Any:
        """The state before the first step."""
        x, y = self.quadratic.variables(dtype)
        return opt.init(self.problem, x, y, self.quadratic.batches(dtype))

    def step(
        self, opt: Any, state: Any, key: Any, dtype: Any = jnp.float32, noise: Any = 0.0
    ) -> Any:
        """One step on the canonical batches, with noise on them if there is some."""
        return opt.step(self.problem, state, self.quadratic.batches(dtype, noise), key)

    @functools.cached_property
    def compiled(self) -> Callable[..., Any]:
        """The step as a program, which all checks share."""
        return compiled_once(self.step)

    def run(self, opt: Any, steps: int, dtype: Any = jnp.float32, noise: float = 0.0) -> Any:
        """Many steps, as one scan; the last state."""
        keys = jax.random.split(jax.random.PRNGKey(0), steps)

        def body(state: Any, key: Any) -> tuple[Any, None]:
            size = noise * jnp.cos(100.0 * state.count)
            return self.step(opt, state, key, dtype, size), None

        return jax.lax.scan(body, self.start(opt, dtype), keys)[0]


@dataclasses.dataclass(frozen=True, eq=False)
class Probe:
    """What a few steps in float64 give: at the method, and with each hyperparameter far off."""

    names: list[str]
    looped: np.ndarray
    mapped: np.ndarray
    traces: int


@functools.lru_cache(maxsize=2)
def _probe(subject: BilevelSubject) -> Probe:
    base = interior(subject.opt)
    others = map_numbers(lambda h, x: far(x, h.interval), base)
    leaves, treedef = jax.tree.flatten(base)
    rows = np.tile(np.array(leaves), (len(leaves) + 1, 1))
    for i, value in enumerate(others):
        rows[i + 1, i] = value
    traces = 0

    def last(row: Any) -> Any:
        nonlocal traces
        traces += 1
        opt = treedef.unflatten(list(row))
        # Batches that differ: averages of equal gradients are these gradients.
        state = subject.run(opt, PROBE_STEPS, jnp.float64, noise=0.3)
        return flat((state.x, state.y))

    with jax.enable_x64(True):
        run = compiled_once(last)
        looped = np.stack([np.asarray(run(jnp.asarray(row))) for row in rows])
        seen = traces
        mapped = np.asarray(compiled_once(jax.vmap(last))(jnp.asarray(rows)))
    return Probe(list(core.hyperparameters(base)), looped, mapped, seen)


def check_protocol(subject: BilevelSubject) -> str:
    """Its states hold x and y and a count, it changes nothing, and eager equals jit."""
    opt, key = subject.opt, jax.random.PRNGKey(0)
    require(isinstance(opt, Data), "it is no gradlab.core.Data")
    state = subject.start(opt)
    for name in ("count", "x", "y"):
        require(name in getattr(state, "_fields", ()), f"its state has no field {name}")
    before = jax.tree.map(np.array, state)
    after = subject.step(opt, state, key)
    same = jax.tree.map(np.array_equal, before, jax.tree.map(np.array, state))
    require(all(jax.tree.leaves(same)), "a step changed its arguments")
    require(int(after.count) == 1, f"after one step, its count is {after.count}")
    again = subject.compiled(opt, state, key)
    alike = jax.tree.structure(after) == jax.tree.structure(state)
    require(alike, "a step changes the structure of the state")
    size = float(jnp.max(jnp.abs(flat(after))))
    error = float(jnp.max(jnp.abs(flat(after) - flat(again)))) / size
    require(error < 1e-4, f"eagerly and under jit a step differs by {error:.1e} of the largest")
    return "pure; eager equals jit"


def check_needs(subject: BilevelSubject) -> str:
    """What it needs is declared, and asked for by name where it is missing."""
    opt, needs = subject.opt, tuple(subject.opt.needs)
    if subject.needs is not None:
        require(subject.needs == needs, f"its entry declares {subject.needs}, but it needs {needs}")
    state = subject.start(opt)
    if "key" in needs:
        _refused(lambda: subject.step(opt, state, None), TypeError, "key", "a step without a key")
    else:
        subject.step(opt, state, None)
    x, y = subject.quadratic.variables()
    known = subject.quadratic
    bound = opt.problem_type(known.outer, known.inner, constraints=known.constraint)
    # Either it keeps no constraints at all, or it needs to know the pairs that keep them.
    word = "project" if "constraints" in needs else "constraints"
    _refused(lambda: opt.init(bound, x, y), ValueError, word, "a problem with constraints")
    return ", ".join(needs) or "nothing"


def check_bad_input(subject: BilevelSubject) -> str:
    """Out-of-range hyperparameters, misspelt keywords, and wrong problems say what is wrong."""
    _protocol.check_ranges(subject)
    _protocol.check_keywords(subject)
    opt, problem = subject.opt, subject.problem
    x, y = subject.quadratic.variables()
    _refused(lambda: opt.init(None, x, y), TypeError, "problem", "None as a problem")
    whole = {**x, "gain": jnp.asarray(1)}
    _refused(lambda: opt.init(problem, whole, y), TypeError, "gain", "an integer outer variable")
    state = subject.start(opt)
    key = jax.random.PRNGKey(0)
    _refused(
        lambda: opt.step(problem, state, 1.0, key), TypeError, "batches", "a number as batches"
    )
    return "messages name argument, value and bound"


def _refused(call: Callable[[], Any], kind: type[Exception], word: str, what: str) -> None:
    try:
        call()
    except kind as error:
        require(word in str(error), f"{what} raises without {word!r}: {error}")
    else:
        require(False, f"{what} is accepted")


def check_one_trace(subject: BilevelSubject) -> str:
    """Changing hyperparameters never makes jit trace again."""
    found = _probe(subject)
    values = len(found.looped)
    require(found.traces == 1, f"{values} values took {found.traces} traces, not one")
    return f"{values} values, one trace"


def check_vmap_equals_loop(subject: BilevelSubject) -> str:
    """A vmapped stack of methods gives what a Python loop over them gives."""
    found = _probe(subject)
    scale = np.maximum(np.abs(found.looped), 1e-3)
    error = float(np.max(np.abs(found.looped - found.mapped) / scale))
    require(error < 1e-8, f"a vmapped stack differs from a loop by {error:.1e} (relative, float64)")
    return f"largest difference {error:.1e}"


def check_consumed(subject: BilevelSubject) -> str:
    """Every hyperparameter changes what comes out."""
    found = _probe(subject)
    for name, row in zip(found.names, found.looped[1:], strict=True):
        same = np.allclose(row, found.looped[0], rtol=1e-12, atol=1e-12)
        require(not same, f"{name} has no effect: another value gives the same variables")
    return f"{len(found.names)} hyperparameters change the result"


def check_dtypes(subject: BilevelSubject) -> str:
    """A step keeps every dtype, for narrow variables, with 64-bit numbers on and off."""
    for wide in (False, True):
        with jax.enable_x64(wide):
            for opt in (subject.opt, core.as_arrays(subject.opt)):
                for dtype in (jnp.bfloat16, jnp.float32):
                    _check_dtype(subject, opt, dtype, f"with {dtype.__name__}, 64 bits {wide}")
    return "bfloat16, float32"


def _check_dtype(subject: BilevelSubject, opt: Any, dtype: Any, where: str) -> None:
    def one(opt: Any, key: Any) -> tuple[Any, Any]:
        state = subject.start(opt, dtype)
        return state, subject.step(opt, state, key, dtype)

    before, after = jax.eval_shape(one, opt, jax.random.PRNGKey(0))
    changed = [
        f"{jax.tree_util.keystr(path)}: {a} became {b}"
        for (path, a), b in zip(
            jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after), strict=True
        )
        if (a.shape, a.dtype) != (b.shape, b.dtype)
    ]
    require(not changed, f"{where}, a step changes {changed}")
    kept = all(leaf.dtype == dtype for leaf in jax.tree.leaves((after.x, after.y)))
    require(kept, f"{where}, its variables are not kept in their dtype")


def check_plain_state(subject: BilevelSubject) -> str:
    """Its state is arrays of their own, and a restored one gives the same step."""
    state, key = subject.start(subject.opt), jax.random.PRNGKey(0)
    leaves = jax.tree.leaves(state)
    for leaf in leaves:
        require(isinstance(leaf, jax.Array), f"the state holds a {type(leaf).__name__}")
    own = jax.tree.leaves(state._replace(x=None, y=None))
    given = jax.tree.leaves((state.x, state.y))
    pointers = [leaf.unsafe_buffer_pointer() for leaf in (*own, *given) if leaf.size]
    require(len(set(pointers)) == len(pointers), "two arrays of its state are one buffer")
    restored = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), state)
    one, other = (subject.compiled(subject.opt, s, key) for s in (state, restored))
    same = jax.tree.map(np.array_equal, one, other)
    require(all(jax.tree.leaves(same)), "a restored state gives another step")
    return f"{len(leaves)} arrays"


def check_converges(subject: BilevelSubject) -> str:
    """It comes ten times closer to the solution in closed form, above and below."""
    state = jax.jit(subject.run, static_argnums=1)(subject.opt, SOLVING_STEPS)
    x, y = (np.asarray(flat(tree), np.float64) for tree in (state.x, state.y))
    best, known = subject.quadratic.solution(), subject.quadratic
    start = [np.asarray(flat(tree), np.float64) for tree in known.variables()]
    for word, found, first, aim in (
        ("outer", x, start[0], best),
        ("inner", y, start[1], known.inner_solution(best).ravel()),
    ):
        left = float(np.linalg.norm(found - aim) / np.linalg.norm(first - aim))
        require(
            left <= CLOSER,
            f"after {SOLVING_STEPS} steps the {word} variables are {found}, in closed form {aim}: "
            f"{left:.2g} of the first distance is left",
        )
    return f"{np.linalg.norm(x - best) / np.linalg.norm(start[0] - best):.1e} of the distance left"


def check_stochastic(subject: BilevelSubject) -> str:
    """The key decides, or has no effect."""
    state, run = subject.start(subject.opt), subject.compiled
    steps = [
        np.asarray(flat(run(subject.opt, state, jax.random.PRNGKey(seed)))) for seed in (0, 0, 1)
    ]
    return key_decides(steps, subject.traits.stochastic, "step")


PROMISES: dict[str, Callable[[Any], str]] = {
    "it solves bilevel problems step by step": check_protocol,
    "it is data": _protocol.check_data,
    "what it needs": check_needs,
    "bad input is refused": check_bad_input,
    "one trace for all values": check_one_trace,
    "vmap over a stack equals a loop": check_vmap_equals_loop,
    "every hyperparameter is consumed": check_consumed,
    "dtypes are stable": check_dtypes,
    "state is plain and resumes": check_plain_state,
    "it finds the solution in closed form": check_converges,
    "stochastic": check_stochastic,
}
"""Each promise of a method for bilevel problems, and the function that checks it."""
