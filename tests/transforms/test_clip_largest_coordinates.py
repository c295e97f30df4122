"""Clipping of the largest coordinates: its paper, its threshold, and its scope."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from gradlab.linalg import upper_quantile
from gradlab.transforms import _clip_largest_coordinates
from tests import agreement
from tests.reference.load import curves


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("scope", ["tree", "array"])
def test_paper(fraction, scope):
    opt = gl.clip_largest_coordinates(fraction, scope)
    agreement.assert_matches_paper(opt, "clip_largest_coordinates", fraction=fraction)


@pytest.mark.parametrize("curve", curves("clip_largest_coordinates"), ids=lambda c: c.name)
def test_torch_clips_the_same_at_its_quantile(curve):
    agreement.assert_matches_reference(gl.clip_largest_coordinates(**curve.settings), curve)


def clip(gradients, *args):
    return gl.clip_largest_coordinates(*args).update(gradients, gl.EmptyState())[0]


def test_a_tree_has_one_threshold_and_an_array_its_own():
    g = {"a": jnp.array([1.0, 2.0, 3.0]), "b": jnp.array([10.0, 20.0])}
    together, apart = clip(g, 0.25), clip(g, 1.0, "array")
    np.testing.assert_array_equal(together["a"], g["a"])
    np.testing.assert_array_equal(together["b"], [10.0, 10.0])
    np.testing.assert_array_equal(apart["a"], [1.0, 1.0, 1.0])
    np.testing.assert_array_equal(apart["b"], [10.0, 10.0])


def test_no_fraction_is_the_identity():
    agreement.assert_same_numbers(gl.clip_largest_coordinates(0.0), gl.identity())


@pytest.mark.parametrize("fraction", [0.0, 0.013, 0.3, 0.77, 1.0])
@pytest.mark.parametrize("size", [1, 2, 11])
def test_the_quantile_is_numpys(size, fraction):
    x = agreement.start((size,))
    with jax.enable_x64(True):
        found = upper_quantile(jnp.asarray(x), fraction)
    np.testing.assert_allclose(found, np.quantile(x, 1 - fraction), rtol=1e-12)


def test_the_threshold_has_a_derivative_by_the_fraction():
    x = jnp.array([4.0, 1.0, 2.0])
    np.testing.assert_allclose(jax.grad(lambda f: upper_quantile(x, f))(0.25), -4.0)


def test_directions_of_complex_numbers_are_kept():
    g = jnp.array([3 + 4j, 1j, 0.0])
    np.testing.assert_allclose(clip(g, 0.5), [0.6 + 0.8j, 1j, 0.0], rtol=1e-6)


def test_a_wrong_threshold_is_seen(monkeypatch):
    monkeypatch.setattr(_clip_largest_coordinates, "upper_quantile", lambda x, f: x.max() * (1 - f))
    with pytest.raises(AssertionError):
        test_paper(0.1, "tree")
