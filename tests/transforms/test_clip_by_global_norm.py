"""Clipping by the global norm: its paper, other code, optax, and its edges."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from gradlab import core
from tests import agreement
from tests.reference.load import curves


def test_paper():
    agreement.assert_matches_paper(gl.clip_by_global_norm(3.0), "clip_by_global_norm", max_norm=3.0)


@pytest.mark.parametrize("curve", curves("clip_by_global_norm"), ids=lambda curve: curve.name)
def test_reference(curve):
    agreement.assert_matches_reference(gl.clip_by_global_norm(**curve.settings), curve)


def test_optax():
    settings = [{"max_norm": 1.0}, {"max_norm": 30.0}]
    agreement.assert_matches_optax(gl.clip_by_global_norm, optax.clip_by_global_norm, settings)


@pytest.mark.parametrize("max_norm", [0.0, 1.0, 10.0, float("inf")])
def test_the_norm_of_all_arrays_together_is_bounded(max_norm):
    gradients = {"a": jnp.full((3,), 2.0), "b": jnp.full((), 2.0), "c": None}
    clipped, _ = gl.clip_by_global_norm(max_norm).update(gradients, optax.EmptyState())
    np.testing.assert_allclose(optax.tree.norm(clipped), min(max_norm, 4.0), rtol=1e-6)
    assert clipped["c"] is None


def test_short_gradients_pass_bit_for_bit_with_derivative_one():
    opt = gl.clip_by_global_norm(1.0)

    def clip(g):
        return opt.update(g, optax.EmptyState())[0]

    for g in (jnp.zeros(3), jnp.array([0.1, -0.3, 0.7]), jnp.full(3, 1e-30)):
        np.testing.assert_array_equal(clip(g), g)
        np.testing.assert_array_equal(jax.jacrev(clip)(g), np.eye(3))
        np.testing.assert_array_equal(jax.jacfwd(clip)(g), np.eye(3))


def test_what_is_not_a_number_spreads():
    clipped, _ = gl.clip_by_global_norm(1.0).update(jnp.array([1.0, jnp.nan]), optax.EmptyState())
    assert jnp.isnan(clipped).all()


def test_a_wrong_norm_is_seen(monkeypatch):
    monkeypatch.setattr(core, "global_norm", lambda tree: jnp.abs(tree).max())
    with pytest.raises(AssertionError):
        test_paper()
