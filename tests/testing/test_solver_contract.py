"""The contract of solvers finds what breaks it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from gradlab import core
from gradlab.solvers._fixed_point_iteration import FixedPointIteration
from gradlab.testing import _solver
from gradlab.testing._failure import BrokenPromise
from gradlab.testing._solver import SolvedProblem, SolverSubject


def run(solver, problem, init, x):
    return solver.run(problem.mapping, init, x)


def subject(kind=FixedPointIteration, estimate=run, **given):
    def make(**more):
        return core.build(kind, "method", **{"tol": 1e-5, "max_steps": 100, **given, **more})

    return SolverSubject(make(), estimate)


def changed(**changes):
    """A subject whose solutions are not what it found."""

    def estimate(solver, problem, init, x):
        found = run(solver, problem, init, x)
        return found._replace(**{name: change(found) for name, change in changes.items()})

    return subject(estimate=estimate)


def shifted(found):
    return jax.tree.map(lambda y: y + 0.01, found.params)


def without_derivative(found):
    return jax.lax.stop_gradient(found.params)


def narrow(found):
    return jax.tree.map(lambda y: y.astype(jnp.float16), found.params)


class Damped(FixedPointIteration):
    """It has a hyperparameter that it does not use."""

    damping: core.Scalar = core.hyper("[0, 1)", default=0.5)


class Restless(FixedPointIteration):
    """It takes two steps at once."""

    def _step(self, fn, now):
        return super()._step(fn, super()._step(fn, now))


class Confident(FixedPointIteration):
    """It has always converged."""

    def met(self, found):
        return found.error >= 0


@jax.custom_batching.custom_vmap
def alone(params):
    return params


@alone.def_vmap
def _(size, batched, params):
    del size
    return jax.tree.map(lambda y: y + 0.01, params), batched[0]


def kinked(solver, problem, init, x):
    """Its derivative is not a number."""
    found = run(solver, problem, init, x)
    nothing = jnp.sqrt(jnp.abs(x["gain"] - jax.lax.stop_gradient(x["gain"])))
    return found._replace(params=jax.tree.map(lambda y: y + nothing, found.params))


def retraced(solver, problem, init, x):
    return run(solver, problem, init, x) if float(solver.tol) else None


def test_the_problem_has_one_solution_in_all_its_forms():
    with jax.enable_x64(True):
        problem = SolvedProblem.make(jnp.float64)
        x = problem.outer_variables()
        best = problem.solution(x)
        slope = jax.grad(problem.objective)(best, x)
        away = jax.tree.map(jnp.subtract, problem.mapping(best, x), best)
        for zero in (slope, away, problem.equation(best, x)):
            assert max(float(np.max(np.abs(z))) for z in jax.tree.leaves(zero)) < 1e-14
        nearby = jax.tree.map(lambda y: y + 0.1, best)
        assert all(np.all(v > 0) for v in jax.tree.leaves(problem.equation(nearby, x)))


@pytest.mark.parametrize(
    ("promise", "broken", "message"),
    [
        ("it finds a solution", changed(params=lambda f: f.params["w"]), "it gives"),
        ("it comes to the known solution", changed(params=shifted), "from the solution"),
        ("it comes to the known solution", subject(max_steps=3), "has not converged"),
        (
            "derivatives are those of the solution",
            changed(params=without_derivative),
            "closed form",
        ),
        ("derivatives are those of the solution", subject(estimate=kinked), "in reverse mode is"),
        ("it is data", subject(Damped), "damping has no effect"),
        ("failure is reported", subject(Restless), "takes 2 steps"),
        ("failure is reported", subject(Confident), "says that it converged"),
        ("vmap equals a loop", changed(params=lambda f: alone(f.params)), "differs from a loop"),
        ("dtypes are stable", changed(params=narrow), "float16"),
    ],
)
def test_a_broken_promise_is_named(promise, broken, message):
    with pytest.raises(BrokenPromise, match=message):
        _solver.PROMISES[promise](broken)


def test_a_solver_that_is_traced_for_each_value_fails():
    with pytest.raises(jax.errors.ConcretizationTypeError):
        _solver.PROMISES["it is data"](subject(estimate=retraced))


def test_entries_of_the_room_are_of_this_kind():
    entry = gl.catalog.get("minimize")
    assert entry.kind == "solver"
    assert "derivatives are those of the solution" in gl.testing.PROMISES_OF["solver"]
