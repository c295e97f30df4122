"""Systems and matrix functions that aggregators solve: residuals, and derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradlab.linalg import (
    balance,
    balance_residual,
    homogeneous_minimum,
    onto_simplex,
    psd_eigenvalues,
    psd_inverse,
)


def cosines(draw, rows, columns, shift):
    j = draw.normal(size=(rows, columns)) + shift
    j /= np.linalg.norm(j, axis=1, keepdims=True)
    return j @ j.T


def check_derivative(function, *args, rtol=1e-6):
    """Both modes agree with a central difference along one direction."""
    draw = np.random.default_rng(3)
    direction = [jnp.asarray(draw.normal(size=np.shape(x))) for x in args]
    h = 1e-6
    ahead, behind = (
        function(*[x + s * h * d for x, d in zip(args, direction, strict=True)]) for s in (1, -1)
    )
    difference = (ahead - behind) / (2 * h)
    slopes = jax.grad(function, argnums=tuple(range(len(args))))(*args)
    reverse = sum(jnp.sum(s * d) for s, d in zip(slopes, direction, strict=True))
    forward = jax.jvp(function, args, tuple(direction))[1]
    np.testing.assert_allclose(reverse, difference, rtol=rtol)
    np.testing.assert_allclose(forward, difference, rtol=rtol)


@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-9), ("float32", 1e-4)])
def test_balance_solves_its_system(dtype, bound):
    with jax.enable_x64(dtype == "float64"):
        draw = np.random.default_rng(0)
        solve = jax.jit(balance)
        for shift in (0.3, 1.0):
            for power in (1.0, 0.4, 2.0):
                q = jnp.asarray(cosines(draw, 12, 20, shift), dtype)
                target = jnp.asarray(10 ** draw.uniform(-3, 0, 12), dtype)
                x = solve(q, target, power, jnp.ones(12, dtype))
                assert x.dtype == dtype
                assert balance_residual(q, target, power, x) < bound


def test_balance_says_where_there_is_no_solution():
    q = jnp.array([[1.0, -1.0], [-1.0, 1.0]])
    ones = jnp.ones(2)
    x = balance(q, ones, 1.0, ones)
    assert jnp.all(jnp.isfinite(x))
    assert balance_residual(q, ones, 1.0, x) > 0.1


def test_the_derivative_of_a_balance():
    with jax.enable_x64(True):
        draw = np.random.default_rng(1)
        q = jnp.asarray(cosines(draw, 5, 8, 0.5))
        target = jnp.asarray(draw.uniform(0.5, 1, 5))

        def value(q, target, power):
            x = balance((q + q.T) / 2, target, power, jnp.ones(5))
            return jnp.sum(jnp.sin(jnp.arange(5) + x))

        check_derivative(value, q, target, jnp.asarray(0.7))


@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-9), ("float32", 1e-4)])
def test_a_homogeneous_minimum_satisfies_its_conditions(dtype, bound):
    with jax.enable_x64(dtype == "float64"):
        draw = np.random.default_rng(2)
        solve = jax.jit(homogeneous_minimum)
        for shift in (0.1, 0.6):
            for radius in (0.0, 0.4, 2.0):
                q = cosines(draw, 16, 12 if shift < 0.5 else 30, shift)
                mean = draw.uniform(0.2, 1, 16)
                along = q @ mean / np.sqrt(mean @ q @ mean)
                r = draw.uniform(0.1, 1, 16)
                r[3] = 1
                args = (jnp.asarray(x, dtype) for x in (q, along, radius, r))
                y, residual, kink = solve(*args)
                assert not kink
                assert residual < bound, (shift, radius)
                assert jnp.all(y >= 0)


def test_the_derivative_of_a_homogeneous_minimum():
    with jax.enable_x64(True):
        draw = np.random.default_rng(4)
        q = cosines(draw, 5, 8, 0.3)
        linear = jnp.asarray(q @ np.ones(5) / np.sqrt(q.sum()))
        r = jnp.array([1.0, 0.8, 0.5, 0.9, 0.6])

        def value(q, linear, radius):
            y, _, _ = homogeneous_minimum((q + q.T) / 2, linear, radius, r)
            return jnp.sum(jnp.cos(jnp.arange(5)) * y / (r @ y))

        check_derivative(value, jnp.asarray(q), linear, jnp.asarray(0.5))


@pytest.mark.parametrize("root", [False, True])
def test_inverses_on_the_range(root):
    draw = np.random.default_rng(5)
    with jax.enable_x64(True):
        j = draw.normal(size=(5, 3))
        matrix = j @ j.T
        found = psd_inverse(jnp.asarray(matrix), root)
        again = found @ found if root else found
        np.testing.assert_allclose(again, np.linalg.pinv(matrix, rcond=1e-12), rtol=1e-7, atol=1e-9)
        weights = jnp.asarray(draw.normal(size=(5, 5)))

        def value(j):  # of constant rank
            return jnp.sum(weights * psd_inverse(j @ j.T, root))

        check_derivative(value, jnp.asarray(j))
        # Equal eigenvalues, and none at all.
        for fixed in (jnp.eye(3), jnp.zeros((3, 3)), jnp.diag(jnp.array([1.0, 1.0, 0.0]))):
            slope = jax.grad(lambda m: jnp.sum(psd_inverse(m, root)))(fixed)
            assert jnp.all(jnp.isfinite(slope))


def test_eigenvalues_in_the_range():
    matrix = jnp.diag(jnp.array([2.0, 0.0, 1.0]))
    values, inside = psd_eigenvalues(matrix)
    np.testing.assert_allclose(values, [0, 1, 2], atol=1e-6)
    assert inside.tolist() == [False, True, True]


def test_projection_onto_the_simplex():
    np.testing.assert_allclose(onto_simplex(jnp.array([0.2, 0.3, 0.5])), [0.2, 0.3, 0.5])
    np.testing.assert_allclose(onto_simplex(jnp.array([9.0, 0.0])), [1, 0])
    draw = np.random.default_rng(6)
    for _ in range(20):
        x = draw.normal(size=6)
        p = np.asarray(onto_simplex(jnp.asarray(x, jnp.float32)), np.float64)
        assert p.min() >= 0
        np.testing.assert_allclose(p.sum(), 1, rtol=1e-6)
        # No vertex lies on the far side: the projection is nearest.
        assert np.all((np.eye(6) - p) @ (x - p) <= 1e-5)
