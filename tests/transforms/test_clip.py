"""Clipping of coordinates and of arrays: formulas, optax, and edges."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from tests import agreement


def test_clip_is_its_formula():
    agreement.assert_matches_paper(gl.clip(0.3), "clip", max_delta=0.3)


def test_clip_is_that_of_optax():
    agreement.assert_matches_optax(gl.clip, optax.clip, [{"max_delta": 0.3}, {"max_delta": 1e9}])


@pytest.mark.parametrize("shape", [(12,), (3, 4)])
def test_block_rms_is_the_papers(shape):
    opt = gl.clip_by_block_rms(0.5)
    agreement.assert_matches_paper(opt, "clip_by_block_rms", shape=shape, threshold=0.5)


def test_block_rms_is_that_of_optax():
    settings = [{"threshold": 0.5}, {"threshold": 30.0}]
    agreement.assert_matches_optax(gl.clip_by_block_rms, optax.clip_by_block_rms, settings)


@pytest.mark.parametrize("make", [gl.clip, gl.clip_by_block_rms])
def test_an_infinite_bound_never_clips(make):
    agreement.assert_same_numbers(make(float("inf")), gl.identity())


@pytest.mark.parametrize("make", [gl.clip, gl.clip_by_block_rms])
def test_what_is_not_a_number_spreads(make):
    g = jnp.array([1.0, jnp.nan, 3.0])
    clipped, _ = make(0.5).update(g, optax.EmptyState())
    assert jnp.isnan(clipped[1])


def test_each_array_has_a_bound_of_its_own():
    gradients = {"long": jnp.full(3, 4.0), "short": jnp.full((2, 2), 0.5), "none": None}
    clipped, _ = gl.clip_by_block_rms(1.0).update(gradients, optax.EmptyState())
    np.testing.assert_allclose(clipped["long"], 1.0)
    np.testing.assert_array_equal(clipped["short"], gradients["short"])
    assert clipped["none"] is None


def test_a_gradient_of_zero_has_a_finite_derivative():
    def clipped(g, threshold):
        opt = gl.replace(gl.clip_by_block_rms(1.0), threshold=threshold)
        return opt.update(g, optax.EmptyState())[0].sum()

    slopes = jax.grad(clipped, (0, 1))(jnp.zeros(3), 0.5)
    np.testing.assert_array_equal(slopes[0], 1)
    assert slopes[1] == 0


def test_the_derivative_by_the_bound_counts_the_coordinates_that_are_clipped():
    g = jnp.array([0.5, -3.0, 2.0])

    def total(bound):
        opt = gl.replace(gl.clip(1.0), max_delta=bound)
        return jnp.abs(opt.update(g, optax.EmptyState())[0]).sum()

    assert jax.grad(total)(1.0) == 2


@pytest.mark.parametrize(
    ("make", "bad", "bound"),
    [(gl.clip, -1.0, r"\[0, inf\]"), (gl.clip_by_block_rms, 0.0, r"\(0, inf\]")],
)
def test_bounds_are_checked(make, bad, bound):
    with pytest.raises(ValueError, match=bound):
        make(bad)
