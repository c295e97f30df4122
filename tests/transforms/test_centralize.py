"""Gradient centralization: its paper, optax, layouts, and what it keeps."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from tests import agreement


@pytest.mark.parametrize("unit_axis", [0, -1])
@pytest.mark.parametrize("shape", [(12,), (3, 4), (2, 2, 3, 4)])
def test_paper(shape, unit_axis):
    opt = gl.centralize(unit_axis)
    agreement.assert_matches_paper(opt, "centralize", shape=shape, unit_axis=unit_axis)


def test_optax():
    agreement.assert_matches_optax(gl.centralize, optax.centralize, [{}])


def test_the_two_layouts_are_each_others_transpose():
    g = jnp.asarray(agreement.start((3, 5)))
    outputs_first, _ = gl.centralize(0).update(g, gl.EmptyState())
    inputs_first, _ = gl.centralize(-1).update(g.T, gl.EmptyState())
    np.testing.assert_array_equal(outputs_first, inputs_first.T)


def test_weights_keep_the_mean_of_each_unit():
    params = jnp.asarray(agreement.start((4, 3)), jnp.float32)
    opt = gl.chain(gl.centralize(-1), gl.sgd(0.1, 0.9))
    gradients = jnp.asarray(agreement.gradient_sequence((4, 3)), jnp.float32)
    updates, _ = agreement.open_loop(opt, gradients, params)
    moved = params + updates.sum(0)
    assert jnp.abs(updates.sum(0)).max() > 1
    np.testing.assert_allclose(moved.mean(0), params.mean(0), atol=1e-4)


@pytest.mark.parametrize("unit_axis", [0.5, True, None])
def test_an_axis_is_an_integer(unit_axis):
    with pytest.raises(TypeError, match="centralize: unit_axis"):
        gl.centralize(unit_axis)


def test_an_axis_that_is_not_there_is_an_error():
    with pytest.raises(IndexError):
        gl.centralize(2).update(jnp.ones((2, 3)), gl.EmptyState())
