"""The promises of a solver: data that goes from a problem and a start to a solution."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from gradlab import core
from gradlab.core import Data, Entry
from gradlab.testing import _protocol
from gradlab.testing._failure import require
from gradlab.testing._handles import handles, map_numbers, with_number
from gradlab.testing._hypergradient import QuadraticProblem
from gradlab.testing._subject import compiled_once, far, flat

TIGHT = 1e-9
"""The tolerance in float64."""

CLOSE = 20
"""How many tolerances a solution may be away, on a problem whose curvature is at least 0.5."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SolvedProblem(QuadraticProblem):
    """A problem with a known answer, in the forms that solvers take.

    The unknowns are y, the numbers that the solution depends on are x: `solution(x)` minimises
    the objective, is left where it is by the mapping, and is the root of the equation.
    """

    def objective(self, y: Any, x: Any) -> jax.Array:
        """A strictly convex function of y, of curvature 0.5 to 1.5."""
        return self.inner(x, y)

    def mapping(self, y: Any, x: Any) -> Any:
        """A contraction: a gradient step of 0.5."""
        slope = jax.grad(self.objective)(y, x)
        return jax.tree.map(lambda y, g: y - 0.5 * g, y, slope)

    def equation(self, y: Any, x: Any) -> Any:
        """A function that rises with each number, and depends on it alone."""
        away = jax.tree.map(jnp.subtract, y, self.solution(x))
        return jax.tree.map(lambda d: d + d**3, away)


@dataclasses.dataclass(frozen=True, eq=False)
class SolverSubject:
    """A solver under test.

    Attributes:
      opt: the solver.
      estimate: as in `Entry.estimate`.
      make: builds another instance from keyword arguments, for the checks of bad input.
      search: hyperparameters that the declared search space names.
    """

    opt: Any
    estimate: Callable[[Any, Any, Any, Any], Any]
    make: Callable[..., Any] | None = None
    search: tuple[str, ...] = ()

    @classmethod
    def of(cls, entry: Entry) -> SolverSubject:
        if entry.estimate is None:
            raise TypeError(f"the entry {entry.name} has no estimate= for the contract to try")
        return cls(entry.make(), entry.estimate, entry.make, tuple(entry.search_space))

    def at(self, opt: Any, problem: SolvedProblem, x: Any, start: Any = None) -> Any:
        """What it finds for x."""
        init = problem.inner_variables() if start is None else start
        return self.estimate(opt, problem, init, x)

    @functools.cached_property
    def compiled(self) -> Callable[..., Any]:
        """The same as a program."""
        return compiled_once(self.at)


def _precise(subject: SolverSubject) -> Any:
    return core.replace(subject.opt, tol=TIGHT)


def _wide() -> tuple[SolvedProblem, Any]:
    problem = SolvedProblem.make(jnp.float64)
    return problem, problem.outer_variables()


def check_protocol(subject: SolverSubject) -> str:
    """It gives a solution like its start, changes nothing, and eager equals jit."""
    require(isinstance(subject.opt, Data), "it is no gradlab.core.Data")
    problem = SolvedProblem.make()
    x, init = problem.outer_variables(), problem.inner_variables()
    before = jax.tree.map(np.array, (problem, x, init))
    found = subject.at(subject.opt, problem, x, init)
    same = jax.tree.map(np.array_equal, before, jax.tree.map(np.array, (problem, x, init)))
    require(all(jax.tree.leaves(same)), "it changed its arguments")
    alike = jax.tree.structure(found.params) == jax.tree.structure(init)
    require(alike, f"it gives {jax.tree.structure(found.params)} for {jax.tree.structure(init)}")
    again = subject.compiled(subject.opt, problem, x, init)
    error = _apart(found.params, again.params)
    require(error < 1e-3, f"eagerly and under jit it differs by {error:.1e}")
    return "like its start; eager equals jit"


def _apart(left: Any, right: Any) -> float:
    """How far apart two trees are, relative to the largest number."""
    left, right = np.asarray(flat(left)), np.asarray(flat(right))
    return float(np.max(np.abs(left - right)) / np.max(np.abs(left)))


def check_solves(subject: SolverSubject) -> str:
    """It comes to the known solution, as near as its tolerance says, and says so."""
    largest = 0.0
    for wide, dtype, opt in (
        (False, jnp.float32, subject.opt),
        (True, jnp.float64, _precise(subject)),
    ):
        with jax.enable_x64(wide):
            problem = SolvedProblem.make(dtype)
            x = problem.outer_variables()
            found = subject.compiled(opt, problem, x)
            said = f"in {dtype.__name__}, after {int(found.steps)} of {opt.max_steps} steps"
            require(found.converged, f"{said}, it has not converged: its error is {found.error}")
            tol = float(opt.tol)
            require(float(found.error) <= tol, f"{said}, its error is {found.error}, not {tol}")
            away = np.max(np.abs(flat(found.params) - flat(problem.solution(x))))
            near = away <= CLOSE * tol
            require(near, f"{said}, it is {away:.1e} from the solution, for a tolerance of {tol}")
            largest = max(largest, float(away / tol))
    return f"at most {largest:.1g} tolerances away"


def check_derivatives(subject: SolverSubject) -> str:
    """Both modes give the derivative in closed form, from afar and from the solution itself."""
    with jax.enable_x64(True):
        problem, x = _wide()
        exact = np.asarray(flat(problem.hypergradient(x)))
        vector, back = ravel_pytree(x)

        def derivatives(opt: Any, start: Any) -> Any:
            def outer(v: jax.Array) -> jax.Array:
                params = subject.at(opt, problem, back(v), start).params
                return problem.outer(back(v), params)

            return jax.grad(outer)(vector), jax.jacfwd(outer)(vector)

        run, opt = compiled_once(derivatives), _precise(subject)
        largest = 0.0
        for where, start in (
            ("from afar", problem.inner_variables()),
            ("from the solution", problem.solution(x)),
        ):
            for mode, found in zip(("reverse", "forward"), run(opt, start), strict=True):
                finite = bool(np.all(np.isfinite(found)))
                require(finite, f"{where}, the derivative in {mode} mode is {found}")
                error = float(np.max(np.abs(found - exact)) / np.max(np.abs(exact)))
                said = f"{where}, the derivative in {mode} mode is {found}, in closed form {exact}"
                require(error < 1e-6, said)
                largest = max(largest, error)
    return f"largest error {largest:.1e}"


def check_data(subject: SolverSubject) -> str:
    """It is a value, one trace serves all hyperparameters, and each has an effect."""
    _protocol.check_data(subject)
    traces = 0

    def counted(*arguments: Any) -> Any:
        nonlocal traces
        traces += 1
        found = subject.at(*arguments)
        return flat((found.params, found.error, found.steps.astype(float)))

    names = [handle.name for handle in handles(subject.opt)]
    others = map_numbers(lambda h, x: far(x, h.interval), subject.opt)
    with jax.enable_x64(True):
        problem, x = _wide()
        run = compiled_once(counted)
        base = run(subject.opt, problem, x)
        for i, (name, value) in enumerate(zip(names, others, strict=True)):
            other = run(with_number(subject.opt, i, value), problem, x)
            same = np.allclose(base, other, rtol=1e-12, atol=0)
            require(not same, f"{name} has no effect: another value gives the same solution")
    require(traces == 1, f"other values of its hyperparameters took {traces} traces, not one")
    return f"{len(others)} hyperparameters, each with an effect"


def check_bad_input(subject: SolverSubject) -> str:
    """Out-of-range hyperparameters and misspelt keywords say what is wrong."""
    _protocol.check_ranges(subject)
    _protocol.check_keywords(subject)
    try:
        subject.opt.run(None, SolvedProblem.make().inner_variables())
    except TypeError as error:
        require("fn" in str(error), f"a problem that is no function raises without it: {error}")
    else:
        require(False, "None is accepted as a problem")
    return "messages name argument, value and bound"


def check_failure(subject: SolverSubject) -> str:
    """One step is one step, and what did not converge is reported, or NaN, or raises."""
    problem = SolvedProblem.make()
    x, short = problem.outer_variables(), subject.opt.with_values(max_steps=1)
    found = subject.compiled(short, problem, x)
    require(int(found.steps) == 1, f"with max_steps=1 it takes {found.steps} steps")
    require(not found.converged, f"after one step it says that it converged to {found.error}")
    finite = bool(jnp.all(jnp.isfinite(flat(found.params))))
    require(finite, "after one step its parameters are not finite, although it may be ignored")
    missing = subject.at(short.with_values(on_failure="nan"), problem, x)
    require(bool(jnp.all(jnp.isnan(flat(missing.params)))), "on_failure='nan' gives numbers")
    try:
        subject.at(short.with_values(on_failure="raise"), problem, x)
    except RuntimeError as error:
        require("tol" in str(error), f"on_failure='raise' raises without the tolerance: {error}")
    else:
        require(False, "on_failure='raise' does not raise")
    return "reported, NaN, or raised"


def check_vmap(subject: SolverSubject) -> str:
    """Several problems, and a stack of solvers, give what a loop gives, each with its steps."""
    problem = SolvedProblem.make()
    places = [problem.outer_variables(place) for place in (0.0, 1.0, 2.0)]
    tolerances = (float(subject.opt.tol), 1e-2, 1e-1)
    solvers = [core.replace(subject.opt, tol=tol) for tol in tolerances]
    pairs = list(zip(solvers, places, strict=True))
    one_by_one = core.stack([subject.compiled(opt, problem, x) for opt, x in pairs])

    def mapped(opt: Any, x: Any) -> Any:
        return jax.vmap(lambda opt, x: subject.at(opt, problem, x))(opt, x)

    at_once = compiled_once(mapped)(core.stack(solvers), core.stack(places))
    steps = np.asarray(one_by_one.steps), np.asarray(at_once.steps)
    # The last digits of a lane depend on how it is compiled, and may decide on a step.
    near = bool(np.all(np.abs(steps[0] - steps[1]) <= 1))
    require(near, f"vmapped it takes {steps[1]} steps, one by one {steps[0]}")
    error = _apart(one_by_one.params, at_once.params)
    require(error < 1e-4, f"vmapped it differs from a loop by {error:.1e}")
    return f"largest difference {error:.1e}"


def check_dtypes(subject: SolverSubject) -> str:
    """The solution has the dtypes of the start, with 64-bit numbers on or off."""
    for wide in (False, True):
        with jax.enable_x64(wide):
            for dtype in (jnp.bfloat16, jnp.float32):
                problem = jax.tree.map(lambda a, d=dtype: a.astype(d), SolvedProblem.make())
                x, opt = problem.outer_variables(), core.as_arrays(subject.opt)
                found = jax.eval_shape(_without_solve(subject), opt, problem, x)
                kept = all(leaf.dtype == dtype for leaf in jax.tree.leaves(found.params))
                dtypes = jax.tree.map(lambda leaf: leaf.dtype, found.params)
                require(kept, f"with {dtype.__name__} and 64 bits {wide}, it gives {dtypes}")
                require(found.steps.dtype == jnp.int32, f"it counts steps in {found.steps.dtype}")
    return "bfloat16, float32"


def _without_solve(subject: SolverSubject) -> Callable[..., Any]:
    def at(opt: Any, problem: Any, x: Any) -> Any:
        # The linear algebra of the closed form has no narrow dtypes.
        known = _Narrow(problem.curvature, problem.coupling, problem.offset, problem.target)
        return subject.at(opt, known, x)

    return at


class _Narrow(SolvedProblem):
    def solution(self, x: Any) -> Any:
        return jax.tree.map(lambda y: y + self.offset[0], self.inner_variables())


PROMISES: dict[str, Callable[[Any], str]] = {
    "it finds a solution": check_protocol,
    "it comes to the known solution": check_solves,
    "derivatives are those of the solution": check_derivatives,
    "it is data": check_data,
    "bad input is refused": check_bad_input,
    "failure is reported": check_failure,
    "vmap equals a loop": check_vmap,
    "dtypes are stable": check_dtypes,
}
"""Each promise of a solver, in plain words, and the function that checks it."""
