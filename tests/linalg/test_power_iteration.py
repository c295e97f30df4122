"""Power iteration: what it converges to, its derivatives, and zero."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradlab.linalg import power_start, spectral_norm


def stack(*shape):
    return np.random.default_rng(0).normal(size=shape)


@pytest.mark.parametrize("shape", [(2, 3, 6, 4), (4, 6), (1, 5), (5, 1)])
@pytest.mark.parametrize("complex_input", [False, True])
def test_it_converges_to_the_largest_singular_value_from_below(shape, complex_input):
    x = stack(*shape) + (1j * stack(*shape) ** 2 if complex_input else 0)
    exact = np.linalg.svd(x, compute_uv=False)[..., 0]
    with jax.enable_x64(True):
        few, _ = spectral_norm(jnp.asarray(x), num_iters=2)
        many, v = spectral_norm(jnp.asarray(x), num_iters=300)
    assert np.all(few <= exact * (1 + 1e-12))
    np.testing.assert_allclose(many, exact, rtol=1e-8)
    assert v.shape == (*shape[:-2], min(shape[-2:]))


def test_going_on_from_the_last_vector_is_one_long_run():
    x = jnp.asarray(stack(6, 4), jnp.float32)
    _, v = spectral_norm(x, num_iters=3)
    np.testing.assert_allclose(
        spectral_norm(x, v, num_iters=4)[0], spectral_norm(x, num_iters=7)[0], rtol=1e-6
    )


def test_the_derivative_holds_vectors_constant_and_its_own_derivative_does_not():
    def value(x):
        return spectral_norm(x, num_iters=3)[0]

    with jax.enable_x64(True):
        x, d = jnp.asarray(stack(5, 3)), jnp.asarray(np.cos(stack(5, 3)))
        slope = jax.jit(jax.grad(value))
        v = spectral_norm(x, num_iters=3)[1]
        expected = np.outer(x @ v, v) / np.linalg.norm(x @ v)
        np.testing.assert_allclose(slope(x), expected, rtol=1e-10)
        h = 1e-5
        curvature = jax.jvp(slope, (x,), (d,))[1]
        np.testing.assert_allclose(
            curvature, (slope(x + h * d) - slope(x - h * d)) / (2 * h), atol=1e-7
        )


def test_a_zero_matrix_gives_zero_with_derivative_zero_and_keeps_its_vector():
    x = jnp.zeros((2, 3, 4))
    (size, v), slope = spectral_norm(x), jax.grad(lambda x: jnp.sum(spectral_norm(x)[0]))(x)
    np.testing.assert_array_equal(size, 0)
    np.testing.assert_array_equal(slope, 0)
    np.testing.assert_array_equal(v, power_start(x))
