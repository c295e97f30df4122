"""Gradient descent: given and searched steps, acceleration, and what its solution depends on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl

SCALES = np.array([1.0, 4.0, 30.0], np.float32)


def objective(x, a):
    return jnp.sum(SCALES * (x - a) ** 2) / 2 + jnp.sum(jnp.cosh(x))


@pytest.mark.parametrize("search", ["zoom", "hager_zhang", "backtracking"])
def test_every_search_comes_to_the_solution_with_its_derivative(search):
    solver = gl.solvers.gradient_descent(line_search=search, tol=1e-6, max_steps=300)

    def solved(a):
        found = solver.run(objective, jnp.zeros(3), a)
        return found.params, found

    # In float64: what backtracking makes of values that are equal but for rounding ends it early.
    with jax.enable_x64(True):
        a = jnp.array([1.0, -2.0, 3.0])
        by_a, found = jax.jit(jax.jacobian(solved, has_aux=True))(a)
        # (scale + cosh x) dx = scale da
        expected = jnp.diag(SCALES / (SCALES + jnp.cosh(found.params)))
        np.testing.assert_allclose(by_a, expected, atol=1e-5)
    assert found.converged
    assert found.steps < 150


def test_a_search_needs_no_step_to_be_chosen():
    found = [
        gl.solvers.gradient_descent(rate, search, tol=1e-3, max_steps=100).run(
            objective, jnp.zeros(3), jnp.ones(3)
        )
        for rate, search in ((1.0, None), (1.0, "zoom"), (100.0, "zoom"))
    ]
    assert [bool(x.converged) for x in found] == [False, True, True]


def test_acceleration_is_nesterovs():
    rate, steps = 0.03, 12
    solver = gl.solvers.gradient_descent(
        rate, None, acceleration=True, tol=0.0, max_steps=steps, differentiate="unroll"
    )
    a = jnp.ones(3)
    found = jax.jit(lambda a: solver.run(objective, jnp.zeros(3), a))(a)
    x = y = np.zeros(3)
    t = 1.0
    for _ in range(steps):
        last, x = x, y - rate * np.asarray(jax.grad(objective)(jnp.asarray(y, jnp.float32), a))
        before, t = t, (1 + np.sqrt(1 + 4 * t**2)) / 2
        y = x + (before - 1) / t * (x - last)
    np.testing.assert_allclose(found.params, y, rtol=1e-5, atol=1e-6)


def test_acceleration_takes_fewer_steps_where_curvatures_differ():
    scales = jnp.logspace(-3, 0, 20)

    def flat(x):
        return jnp.sum(scales * (x - 1) ** 2) / 2

    def steps(**settings):
        solver = gl.solvers.gradient_descent(1.0, None, tol=1e-4, max_steps=5000, **settings)
        found = jax.jit(lambda: solver.run(flat, jnp.zeros(20)))()
        assert found.converged
        return int(found.steps)

    assert steps(acceleration=True) < steps() / 3


def test_a_search_of_ones_own_is_taken_and_stays_in_reach():
    search = gl.scale_by_zoom_linesearch(20, curv_rtol=0.1)
    solver = gl.solvers.gradient_descent(line_search=search)
    assert solver.opt.links[1] == search
    assert gl.hyperparameters(solver)["opt.links[1].curv_rtol"] == 0.1


def test_unknown_searches_are_named():
    with pytest.raises(ValueError, match=r"line_search='wolfe'.*zoom"):
        gl.solvers.gradient_descent(line_search="wolfe")
    with pytest.raises(TypeError, match="gradient_descent"):
        gl.solvers.gradient_descent(line_search=3.0)
