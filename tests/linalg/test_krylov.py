"""Conjugate gradients and minimal residuals: solutions, and what they say of the curvature."""

import jax
import jax.numpy as jnp
import lineax
import numpy as np
import pytest

from gradlab import linalg

N = 12
ITERATIONS = {"cg": linalg.conjugate_gradient, "minres": linalg.minres}


def operator(values, seed=0):
    axes = np.linalg.qr(np.random.default_rng(seed).normal(size=(N, N)))[0]
    return axes @ np.diag(values) @ axes.T


POSITIVE = operator(np.linspace(0.1, 4.0, N))
INDEFINITE = operator(np.linspace(-0.5, 4.0, N))
RHS = np.random.default_rng(1).normal(size=N)


def solve(name, matrix, rhs=RHS, tolerance=1e-12, max_steps=60, dtype=jnp.float64):
    a = jnp.asarray(matrix, dtype)
    method = jax.jit(lambda b: ITERATIONS[name](lambda v: a @ v, b, tolerance, max_steps))
    return method(jnp.asarray(rhs, dtype))


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("name", ITERATIONS)
def test_a_positive_system_is_solved(name):
    found = solve(name, POSITIVE)
    np.testing.assert_allclose(found.x, np.linalg.solve(POSITIVE, RHS), rtol=1e-10)
    assert int(found.iterations) <= N + 2
    assert float(found.curvature) >= 0.1 - 1e-9
    assert float(found.scale) <= 4.0 + 1e-9


@pytest.mark.parametrize("name", ITERATIONS)
def test_in_float32_it_is_solved_to_float32(name):
    found = solve(name, POSITIVE, tolerance=1e-6, dtype=jnp.float32)
    assert found.x.dtype == jnp.float32
    np.testing.assert_allclose(found.x, np.linalg.solve(POSITIVE, RHS), rtol=1e-3, atol=1e-4)


def test_minimal_residuals_solve_an_indefinite_system_and_say_that_it_is_one():
    found = solve("minres", INDEFINITE)
    np.testing.assert_allclose(found.x, np.linalg.solve(INDEFINITE, RHS), rtol=1e-9)
    assert float(found.curvature) < 0


def test_conjugate_gradients_stop_at_negative_curvature():
    found = solve("cg", INDEFINITE)
    assert float(found.curvature) < 0
    assert int(found.iterations) < N
    assert np.all(np.isfinite(found.x))


def test_conjugate_gradients_are_lineaxs():
    for steps in (1, 3, 6):
        ours = solve("cg", POSITIVE, tolerance=0.0, max_steps=steps).x
        theirs = lineax.linear_solve(
            lineax.MatrixLinearOperator(jnp.asarray(POSITIVE), lineax.positive_semidefinite_tag),
            jnp.asarray(RHS),
            lineax.CG(rtol=0.0, atol=0.0, max_steps=steps),
            throw=False,
        ).value
        np.testing.assert_allclose(ours, theirs, rtol=1e-10)


def test_each_step_of_minimal_residuals_minimises_over_the_krylov_space():
    for matrix in (POSITIVE, INDEFINITE):
        basis = np.stack([np.linalg.matrix_power(matrix, k) @ RHS for k in range(4)], axis=1)
        for steps in (1, 2, 4):
            span = np.linalg.qr(basis[:, :steps])[0]
            best = span @ np.linalg.lstsq(matrix @ span, RHS, rcond=None)[0]
            found = solve("minres", matrix, tolerance=0.0, max_steps=steps)
            np.testing.assert_allclose(found.x, best, rtol=1e-8, atol=1e-10)


def test_the_curvature_is_that_of_residuals_and_directions():
    curvatures, previous = [], RHS
    for steps in (1, 2, 3):
        found = solve("minres", INDEFINITE, tolerance=0.0, max_steps=steps)
        curvatures.append(previous @ INDEFINITE @ previous / (previous @ previous))
        assert float(found.curvature) == pytest.approx(min(curvatures), rel=1e-9)
        previous = RHS - INDEFINITE @ np.asarray(found.x)
    first = solve("cg", POSITIVE, tolerance=0.0, max_steps=1)
    assert float(first.curvature) == pytest.approx(RHS @ POSITIVE @ RHS / (RHS @ RHS))


@pytest.mark.parametrize("name", ITERATIONS)
def test_a_zero_right_hand_side_and_a_zero_operator_give_zero(name):
    nothing = solve(name, POSITIVE, np.zeros(N))
    assert int(nothing.iterations) == 0
    assert not np.any(nothing.x)
    stuck = solve(name, np.zeros((N, N)))
    assert int(stuck.iterations) == 1
    assert not np.any(stuck.x)


@pytest.mark.parametrize("name", ITERATIONS)
def test_several_systems_at_once_are_solved_as_one_by_one(name):
    rhs = jnp.asarray(np.random.default_rng(2).normal(size=(3, N)))
    a = jnp.asarray(POSITIVE)

    def one(b):
        return ITERATIONS[name](lambda v: a @ v, b, 1e-10, 40)

    together = jax.jit(jax.vmap(one))(rhs)
    for i in range(3):
        alone = jax.jit(one)(rhs[i])
        np.testing.assert_allclose(together.x[i], alone.x, rtol=1e-10)
        assert int(together.iterations[i]) == int(alone.iterations)
