"""Gradients orthogonal to the parameters: the paper, the released rescaling, and edges."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from tests import agreement
from tests.reference.load import curves


@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize("shape", [(12,), (4, 3)])
def test_paper(shape, rescale):
    opt = gl.orthogonal_to_params(rescale)
    agreement.assert_matches_paper(opt, "orthogonal_to_params", shape=shape, rescale=rescale)


@pytest.mark.parametrize("curve", curves("orthogonal_to_params"), ids=lambda c: c.name)
def test_the_authors_and_another_package(curve):
    settings = dict(curve.settings)
    descent = gl.sgd(settings.pop("learning_rate"))
    opt = gl.chain(gl.orthogonal_to_params(**settings), descent)
    agreement.assert_matches_reference(opt, curve)


def step(g, p, rescale=False):
    opt = gl.orthogonal_to_params(rescale)
    return opt.update(g, opt.init(p), p)[0]


def test_each_array_is_orthogonal_to_its_own_parameters():
    params = agreement.parameter_tree()
    g = jax.tree.map(jnp.cos, params)
    for u, p in zip(jax.tree.leaves(step(g, params)), jax.tree.leaves(params), strict=True):
        assert abs(jnp.sum(u * p)) < 1e-5


def test_rescaling_keeps_the_norm():
    p, g = jnp.array([1.0, 2.0, -1.0]), jnp.array([0.3, 0.1, 5.0])
    np.testing.assert_allclose(jnp.linalg.norm(step(g, p, True)), jnp.linalg.norm(g), rtol=1e-6)


@pytest.mark.parametrize("scale", [0.1, -3.0, 1e-3])
def test_rounding_is_not_scaled_up(scale):
    p = jnp.asarray(agreement.start((7,)), jnp.float32)
    np.testing.assert_array_equal(step(scale * p, p, True), 0)
    np.testing.assert_array_equal(step(jnp.float32(scale), jnp.float32(0.7), True), 0)


def test_weights_of_zero_leave_the_gradient_alone_and_have_finite_derivatives():
    zero, g = jnp.zeros(3), jnp.array([1.0, -2.0, 0.0])
    for rescale in (False, True):
        np.testing.assert_array_equal(step(g, zero, rescale), g)
        slopes = jax.grad(lambda g, p, r=rescale: step(g, p, r).sum(), (0, 1))(zero, zero)
        assert all(jnp.isfinite(x).all() for x in slopes)


def test_complex_gradients_lose_the_part_that_scales_the_weights():
    p, g = jnp.array([1 + 2j, -0.5j]), jnp.array([0.3 - 1j, 2 + 0j])
    assert abs(jnp.sum(jnp.real(jnp.conj(p) * step(g, p)))) < 1e-6


def test_params_are_needed():
    with pytest.raises(ValueError, match="orthogonal_to_params: update needs the parameters"):
        gl.orthogonal_to_params().update(jnp.ones(2), gl.EmptyState())
