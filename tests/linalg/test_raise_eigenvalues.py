"""Eigenvalues below a bound are raised to it, with derivatives that are finite everywhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradlab.linalg import raise_eigenvalues

AXES = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
BOUND = 0.5


@pytest.fixture(autouse=True)
def wide():
    with jax.enable_x64(True):
        yield


def with_eigenvalues(*values):
    return AXES @ np.diag(values) @ AXES.T


def test_low_eigenvalues_are_raised_and_others_kept():
    found = raise_eigenvalues(jnp.asarray(with_eigenvalues(-1.0, 0.2, 0.7, 2.0)), BOUND)
    np.testing.assert_allclose(found, with_eigenvalues(0.5, 0.5, 0.7, 2.0), atol=1e-12)


@pytest.mark.parametrize(
    "values",
    [(-1.0, 0.2, 0.7, 2.0), (1.0, 1.0, 1.0, 1.0), (0.1, 0.1, 0.1, 0.1), (0.1, 0.1, 2.0, 2.0)],
    ids=str,
)
def test_derivatives_are_differences_for_repeated_eigenvalues_too(values):
    draw = np.random.default_rng(1)
    matrix, weights, change = with_eigenvalues(*values), *draw.normal(size=(2, 4, 4))
    change, h = change + change.T, 1e-6

    def value(matrix, bound):
        return jnp.sum(weights * raise_eigenvalues(matrix, bound))

    jitted, bound, by = jax.jit(value), jnp.asarray(BOUND), 0.3
    ahead, behind = (jitted(matrix + s * h * change, bound + s * h * by) for s in (1, -1))
    wanted = (ahead - behind) / (2 * h)
    pushed = jax.jvp(value, (matrix, bound), (change, jnp.asarray(by)))[1]
    slopes = jax.grad(value, argnums=(0, 1))(matrix, bound)
    np.testing.assert_allclose(pushed, wanted, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(
        jnp.sum(slopes[0] * change) + slopes[1] * by, wanted, rtol=1e-7, atol=1e-8
    )
