"""Sobolev gradients: the paper, the norm they belong to, and what they do to noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from tests import agreement
from tests.paper.sobolev_gradient import symbol


@pytest.mark.parametrize("order", [1.0, 0.3, -1.0])
@pytest.mark.parametrize("shape", [(12,), (5, 4), (2, 3, 4)])
def test_paper(shape, order):
    agreement.assert_matches_paper(
        gl.sobolev_gradient(order, 0.7),
        "sobolev_gradient",
        shape=shape,
        order=order,
        length=0.7,
        atol=1e-11,
    )


@pytest.mark.parametrize("settings", [{"order": 0.0}, {"length": 0.0}])
def test_order_or_length_zero_is_the_identity(settings):
    agreement.assert_same_numbers(gl.sobolev_gradient(**settings), gl.identity(), rtol=1e-9)


def update(g, *args):
    return gl.sobolev_gradient(*args).update(g, gl.EmptyState())[0]


def test_two_orders_add_up():
    g = jnp.asarray(agreement.start((6, 5)))
    np.testing.assert_allclose(update(update(g, 0.5), -1.5), update(g, -1.0), rtol=1e-4, atol=1e-5)


def test_a_negative_order_gives_the_gradient_of_the_sobolev_distance():
    f, data = (jnp.asarray(agreement.start((n, 5)), jnp.float32) for n in (6, 7))
    data, weight = data[:6], jnp.asarray(symbol((6, 5), 1.0))

    def distance(f):
        return 0.5 * jnp.mean(weight * jnp.abs(jnp.fft.fftn(f - data)) ** 2)

    np.testing.assert_allclose(update(f - data, -1.0), jax.grad(distance)(f), rtol=1e-3, atol=1e-3)


def test_it_is_the_steepest_descent_direction_of_the_sobolev_norm():
    # <g, v> is the Sobolev inner product of the Sobolev gradient with v.
    g, v = (jnp.asarray(agreement.start((n, 4))[:5], jnp.float32) for n in (5, 6))
    np.testing.assert_allclose(jnp.vdot(update(update(g), -1.0), v), jnp.vdot(g, v), rtol=1e-4)


def test_the_mean_stays_and_noise_is_damped():
    noise = jnp.asarray(np.random.default_rng(0).normal(size=(32, 32)), jnp.float32)
    smooth = update(noise, 1.0, 3.0)
    np.testing.assert_allclose(smooth.mean(), noise.mean(), atol=1e-6)
    assert smooth.std() < 0.2 * noise.std()


def test_only_the_axes_of_the_grid_are_smoothed():
    g = jnp.asarray(agreement.start((6, 3)), jnp.float32)
    along = jnp.stack([update(g[:, i], 1.0, 2.0) for i in range(3)], 1)
    np.testing.assert_allclose(update(g, 1.0, 2.0, 0), along, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(update(g.T, 1.0, 2.0, (-1,)), along.T, rtol=1e-4, atol=1e-6)


def test_complex_fields_keep_both_parts():
    g = jnp.asarray(agreement.start((6, 3)), jnp.complex64) * (1 + 2j)
    np.testing.assert_allclose(update(g), update(g.real) * (1 + 2j), rtol=1e-4, atol=1e-5)


def test_axes_are_integers():
    with pytest.raises(TypeError, match="sobolev_gradient: axes"):
        gl.sobolev_gradient(axes=0.5)
