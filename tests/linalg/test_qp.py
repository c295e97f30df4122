"""Small quadratic programs: optimality on hard Gramians, and derivatives."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradlab.linalg import nonnegative_qp, qp_residual
from tests.paper.upgrad import nonnegative_least_squares


def unit_rows(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def gradients():
    """Rows of unit length: independent, dependent, equal, opposite, nearly so."""
    draw = np.random.default_rng(0)
    for columns in (1, 2, 5, 12, 16, 40):
        yield f"16 rows of rank {min(16, columns)}", draw.normal(size=(16, columns))
    yield "64 rows of rank 40", draw.normal(size=(64, 40))
    base = draw.normal(size=(8, 6))
    yield "rows that sum to zero", np.concatenate([base - base.mean(0), base])
    yield "equal rows", np.concatenate([base, base])
    yield "opposite rows", np.concatenate([base, -base])
    yield "nearly equal rows", np.concatenate([base, base + 1e-7 * draw.normal(size=base.shape)])
    yield "nearly opposite rows", np.concatenate([base, 1e-7 - base])
    thin = 1e-2 * base + np.sign(np.arange(8) % 2 - 0.5)[:, None]
    yield "a cone all but empty", np.concatenate([thin, base])


@functools.cache
def solver(size, dtype):
    return jax.jit(lambda q: nonnegative_qp(q, q))


@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-9), ("float32", 1e-4)])
def test_minimisers_satisfy_the_optimality_conditions(dtype, bound):
    with jax.enable_x64(dtype == "float64"):
        for name, rows in gradients():
            rows = unit_rows(rows).astype(dtype)
            q = jnp.asarray(rows @ rows.T)
            residual = float(jnp.max(qp_residual(q, q, solver(len(q), dtype)(q))))
            assert residual < bound, f"{name}: {residual}"


def test_it_finds_what_trying_every_set_of_zeros_finds():
    draw = np.random.default_rng(1)
    with jax.enable_x64(True):
        for _ in range(20):
            rows = unit_rows(draw.normal(size=(5, 3)) - 0.5)
            q = rows @ rows.T
            ours = np.asarray(solver(5, "float64")(jnp.asarray(q)))
            for i in range(5):
                best = nonnegative_least_squares(rows.T, -rows[i])
                np.testing.assert_allclose(
                    rows[i] + ours[i] @ rows, rows[i] + best @ rows, atol=1e-9
                )


def test_derivatives_equal_finite_differences_and_batches_equal_loops():
    draw = np.random.default_rng(2)
    rows = draw.normal(size=(4, 4, 6)) - 0.4
    weights = jnp.asarray(draw.normal(size=(4, 4)))
    with jax.enable_x64(True):

        @jax.jit
        def value(j):
            j = j / jnp.linalg.norm(j, axis=1, keepdims=True)
            return jnp.sum(weights * nonnegative_qp(j @ j.T, j @ j.T))

        batch = jnp.asarray(rows)
        looped = jnp.stack([value(j) for j in batch])
        np.testing.assert_allclose(jax.vmap(value)(batch), looped, rtol=1e-12)
        direction = jnp.asarray(draw.normal(size=(4, 6)))
        slope = jax.jit(jax.grad(value))
        push = jax.jit(lambda j: jax.jvp(value, (j,), (direction,))[1])
        for j in batch:
            h = 1e-6
            difference = (value(j + h * direction) - value(j - h * direction)) / (2 * h)
            np.testing.assert_allclose(jnp.sum(slope(j) * direction), difference, rtol=1e-6)
            forward = push(j)
            np.testing.assert_allclose(forward, difference, rtol=1e-6)


def test_derivatives_are_finite_where_the_matrix_is_singular():
    row = np.ones((1, 3)) / np.sqrt(3)
    slope_of = jax.jit(jax.grad(lambda q: jnp.sum(nonnegative_qp(q, q))))
    for rows in (np.concatenate([row, row]), np.concatenate([row, -row]), np.eye(2)):
        slope = slope_of(jnp.asarray(rows @ rows.T, jnp.float32))
        assert jnp.all(jnp.isfinite(slope))
