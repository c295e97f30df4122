"""Adaptive gradient clipping: its paper, other code, optax, and its units."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from gradlab.linalg import unit_norm
from tests import agreement
from tests.reference.load import curves


@pytest.mark.parametrize("shape", [(12,), (6, 4), (2, 3, 4), (2, 2, 3, 4)])
def test_paper(shape):
    opt = gl.adaptive_grad_clip(0.1)
    agreement.assert_matches_paper(opt, "adaptive_grad_clip", clipping=0.1, shape=shape)


@pytest.mark.parametrize("curve", curves("adaptive_grad_clip"), ids=lambda curve: curve.name)
def test_reference(curve):
    agreement.assert_matches_reference(gl.adaptive_grad_clip(**curve.settings), curve)


def test_optax():
    settings = [{"clipping": 0.01}, {"clipping": 0.5, "eps": 0.1}]
    agreement.assert_matches_optax(gl.adaptive_grad_clip, optax.adaptive_grad_clip, settings)


@pytest.mark.parametrize("axis", [None, 0, (0, 1)])
@pytest.mark.parametrize("shape", [(3, 2), (1, 4), (2, 3, 4), (2, 2, 3, 2), (2, 1, 2, 3, 2)])
def test_units_are_those_of_optax(shape, axis):
    x = jnp.asarray(agreement.start(shape), jnp.float32)
    norms = jnp.broadcast_to(unit_norm(x, axis), shape)
    np.testing.assert_allclose(norms, optax.transforms.unitwise_norm(x, axis), rtol=1e-6)


def test_scalars_and_empty_arrays_are_one_unit():
    assert unit_norm(jnp.float32(-2.0)) == 2.0
    assert unit_norm(jnp.zeros((0, 3))).shape == (1, 3)


def test_six_dimensions_need_an_axis():
    x = jnp.ones((2,) * 6)
    with pytest.raises(ValueError, match=r"\(2, 2, 2, 2, 2, 2\).*axis"):
        unit_norm(x)
    assert unit_norm(x, axis=(0, 1)).shape == (1, 1, 2, 2, 2, 2)


def test_weights_and_gradients_of_zero_have_finite_derivatives():
    def clipped(g, p, clipping):
        opt = gl.replace(gl.adaptive_grad_clip(0.5), clipping=clipping)
        return opt.update(g, opt.init(p), p)[0].sum()

    zero = jnp.zeros((3, 2))
    slopes = jax.grad(clipped, (0, 1, 2))(zero, zero, 0.5)
    assert all(jnp.isfinite(x).all() for x in slopes)
    np.testing.assert_array_equal(slopes[0], 1)


def test_params_are_needed():
    with pytest.raises(ValueError, match="needs the parameters"):
        gl.adaptive_grad_clip(0.1).update(jnp.ones(2), optax.EmptyState())
