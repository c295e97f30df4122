"""Inner products of long gradients, taken in blocks, are inner products."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradlab.aggregators import _stacked

LENGTHS = [
    2 * _stacked.BLOCK - 1,
    2 * _stacked.BLOCK,
    3 * _stacked.BLOCK + 5,
]


def stacks(length, dtype=np.float64):
    draw = np.random.default_rng(length)
    parts = [draw.normal(size=(m, length)) + 1j * draw.normal(size=(m, length)) for m in (3, 2)]
    return [x.astype(dtype) if np.issubdtype(dtype, np.complexfloating) else x.real for x in parts]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_long_gradients_have_the_inner_products_of_short_ones(length, dtype):
    x, y = stacks(length, dtype)
    with jax.enable_x64(True):
        run = jax.jit(lambda x, y: _stacked.inner_products({"w": x}, {"w": y}))
        found = np.asarray(run(jnp.asarray(x), jnp.asarray(y)))
    np.testing.assert_allclose(found, (x @ y.conj().T).real, rtol=1e-12, atol=1e-10)


def test_their_derivatives_are_those_of_products():
    x, y = stacks(LENGTHS[-1])
    weights = np.arange(6.0).reshape(3, 2)
    with jax.enable_x64(True):
        point = jnp.asarray(x), jnp.asarray(y)
        by_x, by_y = jax.grad(
            lambda x, y: jnp.sum(weights * _stacked.inner_products(x, y)), argnums=(0, 1)
        )(*point)
        forward = jax.jvp(_stacked.inner_products, point, (point[0], 0 * point[1]))[1]
    np.testing.assert_allclose(by_x, weights @ y, rtol=1e-12)
    np.testing.assert_allclose(by_y, weights.T @ x, rtol=1e-12)
    np.testing.assert_allclose(forward, x @ y.T, rtol=1e-10, atol=1e-10)


def test_a_batch_of_stacks_is_a_loop_over_them():
    x, _ = stacks(LENGTHS[-1])
    many = jnp.asarray(np.stack([x, 2 * x]), jnp.float32)
    found = jax.vmap(_stacked.gramian)(many)
    np.testing.assert_allclose(found[1], 4 * found[0], rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(found[0], x @ x.T, rtol=1e-4, atol=0.1)
