"""Optimality conditions: their derivatives are those of the solutions."""

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import gradlab as gl
from gradlab.testing._subject import compiled_once

DRAW = np.random.default_rng(3)
ROOT = DRAW.normal(size=(6, 4))
Q = ROOT.T @ ROOT + 0.5 * np.eye(4)
C = DRAW.normal(size=4)
STEP = 0.5 / np.linalg.eigvalsh(Q)[-1]
PRECISE = gl.meta.linear_solver("gmres", tolerance=1e-12)


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def quadratic(x, c):
    return x @ Q @ x / 2 - c @ x


def iterated(step, count=4000):
    """The solver that repeats a step."""

    def solve(init, *args):
        return lax.fori_loop(0, count, lambda _, x: step(x, *args), init)

    return solve


def differences(function, x, h=1e-5):
    """Central differences, of an error of order h²."""
    run = compiled_once(function)
    return np.stack([(run(x + h * e) - run(x - h * e)) / (2 * h) for e in np.eye(len(x))], -1)


def both_modes(function, x):
    found = compiled_once(lambda x: (jax.jacfwd(function)(x), jax.jacrev(function)(x)))(x)
    np.testing.assert_allclose(*found, rtol=1e-8, atol=1e-11)
    return np.asarray(found[0])


def test_a_stationary_point_moves_as_the_closed_form_says():
    condition = gl.meta.stationary_point(quadratic)
    solve = gl.meta.custom_root(condition, solver="dense")(lambda init, c: jnp.linalg.solve(Q, c))
    found = both_modes(lambda c: solve(None, c), jnp.asarray(C))
    np.testing.assert_allclose(found, np.linalg.inv(Q), rtol=1e-9)


A = np.array([[1.0, 1.0, 1.0, 1.0]])
G = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]])


def active_set(c, b, active):
    """Solution and multipliers with some of the inequalities as equalities, in closed form."""
    active = list(active)
    rows = jnp.concatenate([A, G[active]])
    k = len(rows)
    matrix = jnp.block([[jnp.asarray(Q), rows.T], [rows, jnp.zeros((k, k))]])
    found = jnp.linalg.solve(matrix, jnp.concatenate([c, b, jnp.zeros(k - 1)]))
    multipliers = jnp.zeros(2).at[jnp.asarray(active)].set(found[5:])
    return gl.meta.KKTPoint(found[:4], found[4:5], multipliers)


def test_the_kkt_point_of_a_quadratic_program_moves_as_the_closed_form_says():
    c, b = jnp.asarray(C), jnp.array([1.0])
    condition = gl.meta.kkt_conditions(
        lambda x, c, b: quadratic(x, c),
        equality=lambda x, c, b: A @ x - b,
        inequality=lambda x, c, b: G @ x,
    )

    def everything(c, b, active):
        def closed_form(c, b):
            return active_set(c, b, active)

        solve = gl.meta.custom_root(condition, solver="dense")(lambda init, c, b: closed_form(c, b))

        def implicit(c, b):
            return solve(None, c, b)

        exact = jax.jacobian(closed_form, argnums=(0, 1))(c, b)
        found = [mode(implicit, argnums=(0, 1))(c, b) for mode in (jax.jacfwd, jax.jacrev)]
        point = closed_form(c, b)
        return point, condition(point, c, b), exact, found

    # Which of the two inequalities is active: the one whose program is feasible and dual so.
    run = jax.jit(everything, static_argnums=2)
    feasible = [
        results
        for results in (run(c, b, active) for active in ((0,), (1,)))
        if np.all(G @ results[0].primal < 1e-9) and np.all(results[0].inequality >= 0)
    ]
    ((_, conditions, exact, found),) = feasible
    np.testing.assert_allclose(jax.flatten_util.ravel_pytree(conditions)[0], 0, atol=1e-12)
    for slopes in found:
        jax.tree.map(
            lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-8, atol=1e-11), slopes, exact
        )


def test_projected_gradient_on_the_simplex_equals_differences():
    mapped = gl.meta.projected_gradient(quadratic, gl.projections.projection_simplex, STEP)
    solver = iterated(mapped)
    solve = gl.meta.custom_fixed_point(mapped, solver=PRECISE)(solver)
    start, c = jnp.full(4, 0.25), jnp.asarray(2 * C)
    at = np.asarray(compiled_once(solver)(start, c))
    assert 1 < np.sum(at > 1e-3) < 4  # on a face, not at a corner
    found = both_modes(lambda c: solve(start, c), c)
    np.testing.assert_allclose(found, differences(lambda c: solver(start, c), c), atol=1e-7)
    assert np.max(np.abs(found)) > 0.05


def test_a_projection_gets_arguments_and_has_derivatives_by_them():
    mapped = gl.meta.projected_gradient(
        lambda x, c, scale: quadratic(x, c),
        gl.projections.projection_simplex,
        STEP,
        projection_args=lambda c, scale: (scale,),
    )
    solve = gl.meta.custom_fixed_point(mapped, solver=PRECISE)(iterated(mapped))
    start, c = jnp.full(4, 0.25), jnp.asarray(C)
    found = compiled_once(jax.grad(lambda s: jnp.sum(solve(start, c, s))))(1.0)
    assert float(found) == pytest.approx(1.0, rel=1e-6)  # the sum is the scale


def soft_threshold(y, step_size, weight):
    return jnp.sign(y) * jnp.maximum(jnp.abs(y) - step_size * weight, 0)


def test_proximal_gradient_of_the_lasso_equals_differences_away_from_kinks():
    mapped = gl.meta.proximal_gradient(
        lambda x, weight: quadratic(x, C), soft_threshold, STEP, prox_args=lambda w: (w,)
    )
    solver = iterated(mapped)
    solve = gl.meta.custom_fixed_point(mapped, solver=PRECISE)(solver)
    start, weight = jnp.zeros(4), jnp.array([0.4])
    at = np.asarray(compiled_once(solver)(start, weight))
    assert 0 < np.sum(at == 0) < 4
    found = both_modes(lambda w: solve(start, w), weight)
    np.testing.assert_allclose(found, differences(lambda w: solver(start, w), weight), atol=1e-7)
    # In closed form: minus the inverse of the Hessian on the support, times the signs.
    free = at != 0
    exact = -np.linalg.solve(Q[np.ix_(free, free)], np.sign(at[free]))
    np.testing.assert_allclose(found[free, 0], exact, rtol=1e-6)
    assert not np.any(found[~free])


def test_mirror_descent_on_the_simplex_equals_differences():
    def objective(x, c):
        return quadratic(x, c) / 4 + jnp.sum(x * jnp.log(x))

    mapped = gl.meta.mirror_descent(objective, jnp.log, jax.nn.softmax, 0.3)
    solver = iterated(mapped, 400)
    solve = gl.meta.custom_fixed_point(mapped, solver=PRECISE)(solver)
    start, c = jnp.full(4, 0.25), jnp.asarray(C)
    found = both_modes(lambda c: solve(start, c), c)
    np.testing.assert_allclose(found, differences(lambda c: solver(start, c), c), atol=1e-7)
    np.testing.assert_allclose(found.sum(0), np.zeros(4), atol=1e-10)


def test_the_step_size_has_no_part_in_the_derivative():
    slopes = []
    for step in (STEP, STEP / 3):
        mapped = gl.meta.projected_gradient(quadratic, gl.projections.projection_simplex, step)
        reference = gl.meta.projected_gradient(quadratic, gl.projections.projection_simplex, STEP)
        solve = gl.meta.custom_fixed_point(mapped, solver="dense")(iterated(reference))
        slopes.append(compiled_once(jax.jacrev(lambda c, s=solve: s(jnp.full(4, 0.25), c)))(C))
    np.testing.assert_allclose(*slopes, rtol=1e-7, atol=1e-10)


def test_bad_arguments_are_named():
    with pytest.raises(TypeError, match="stationary_point: objective=1 is no function"):
        gl.meta.stationary_point(1)
    with pytest.raises(ValueError, match="no constraint"):
        gl.meta.kkt_conditions(quadratic)
    with pytest.raises(TypeError, match="kkt_conditions: equality=1"):
        gl.meta.kkt_conditions(quadratic, equality=1)
    condition = gl.meta.kkt_conditions(quadratic, equality=lambda x, c: A @ x)
    with pytest.raises(ValueError, match="no multipliers for equality"):
        condition(gl.meta.KKTPoint(C), C)
    with pytest.raises(ValueError, match="some multipliers for inequality"):
        condition(gl.meta.KKTPoint(C, C[:1], C[:1]), C)
    for step in (0.0, -1.0, float("nan"), np.array(-1.0)):
        with pytest.raises(ValueError, match=r"step_size=.* is outside \(0, inf\)"):
            gl.meta.projected_gradient(quadratic, gl.projections.projection_simplex, step)
    with pytest.raises(TypeError, match="prox=None"):
        gl.meta.proximal_gradient(quadratic, None)
    with pytest.raises(TypeError, match="mirror=None"):
        gl.meta.mirror_descent(quadratic, None, jax.nn.softmax)
