"""Spectral decoupling: the paper's numbers, and features that are no longer starved."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from tests.paper.spectral_decoupling import authors_penalty
from tests.paper.spectral_decoupling import spectral_decoupling as paper


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def test_value_and_gradient_are_the_papers():
    logits, labels = draw(6, 2), np.array([0, 1, 1, 0, 0, 1])
    with jax.enable_x64(True):
        penalty = gl.spectral_decoupling((0.3, 0.7), (2.5, 0.44), reduction="sum")
        expected = paper(logits, labels, weight={0: 0.3, 1: 0.7}, center={0: 2.5, 1: 0.44})
        value, slope = jax.value_and_grad(penalty)(jnp.asarray(logits), jnp.asarray(labels))
        np.testing.assert_allclose(value, expected, rtol=1e-10)
        weight, center = np.array([0.3, 0.7])[labels], np.array([2.5, 0.44])[labels]
        np.testing.assert_allclose(slope, weight[:, None] * (logits - center[:, None]), rtol=1e-10)


@pytest.mark.parametrize("shape", [(8,), (8, 1)])
def test_for_one_output_the_authors_code_is_twice_the_weight(shape):
    logits = draw(*shape)
    np.testing.assert_allclose(
        gl.spectral_decoupling(2 * 0.1)(jnp.asarray(logits)),
        0.1 * authors_penalty(logits),
        rtol=1e-6,
    )


def test_on_a_linear_model_it_is_a_quadratic_form_of_the_weights():
    with jax.enable_x64(True):
        x, w = jnp.asarray(draw(10, 4)), jnp.asarray(draw(4, seed=1))
        penalty = gl.spectral_decoupling(0.3)
        value, slope = jax.value_and_grad(lambda w: penalty(x @ w))(w)
        gram = x.T @ x / 10
        np.testing.assert_allclose(value, 0.15 * w @ gram @ w, rtol=1e-12)
        np.testing.assert_allclose(slope, 0.3 * gram @ w, rtol=1e-12)


def test_the_weak_feature_is_learned_where_cross_entropy_starves_it():
    # A strong feature that 19 of 20 examples have, and a weak one that all have.
    labels = np.where(np.arange(40) % 2 == 0, 1.0, -1.0)
    strong = np.where(np.arange(40) < 38, 2.0, 0.0) * labels
    x = jnp.asarray(np.stack([strong, 0.5 * labels], axis=1), jnp.float32)

    def margins(weight):
        penalty = gl.spectral_decoupling(weight)

        def loss(w):
            logits = x @ w
            return jnp.mean(jax.nn.softplus(-labels * logits)) + penalty(logits)

        step = jax.jit(lambda w: w - 0.5 * jax.grad(loss)(w))
        w = jnp.zeros(2)
        for _ in range(500):
            w = step(w)
        found = labels * (x @ w)
        return float(found[-1] / found[0])

    starved, decoupled = margins(0.0), margins(0.5)
    assert starved < 0.4
    assert decoupled > 1.5 * starved


def test_a_label_without_a_class_is_seen():
    penalty = gl.spectral_decoupling(1.0, (0.0, 1.0))
    assert np.isnan(penalty(jnp.ones((2, 3)), jnp.array([0, 2])))


def test_logits_of_zero_and_no_logits_at_all():
    penalty = gl.spectral_decoupling(1.0)
    np.testing.assert_array_equal(jax.grad(penalty)(jnp.zeros((3, 2))), 0)
    for empty in (jnp.ones((0, 3)), jnp.ones(0), jnp.ones((3, 0))):
        assert float(penalty(empty)) == 0


def test_half_precision_logits_do_not_overflow():
    logits = jnp.full((4, 2), 400.0, jnp.float16)
    found, slope = jax.value_and_grad(gl.spectral_decoupling(1.0))(logits)
    assert (found.dtype, float(found), slope.dtype) == (jnp.float32, 160000.0, jnp.float16)


def test_bad_input_says_what_is_wrong():
    with pytest.raises(ValueError, match=r"weight=-1\.0 is outside \[0, inf\)"):
        gl.spectral_decoupling((1.0, -1.0))
    with pytest.raises(ValueError, match="'mean', 'sum', got 'max'"):
        gl.spectral_decoupling(reduction="max")
    classes = gl.spectral_decoupling(1.0, (0.0, 1.0))
    for labels in (None, jnp.zeros((3, 1), int), jnp.zeros(2, int)):
        with pytest.raises(ValueError, match=r"center for each class needs labels of shape \(3,\)"):
            classes(jnp.ones((3, 2)), labels)


def test_each_number_of_a_class_is_a_hyperparameter():
    penalty = gl.spectral_decoupling((0.3, 0.7), 1.0)
    assert gl.hyperparameters(penalty) == {"weight[0]": 0.3, "weight[1]": 0.7, "center": 1.0}
    slope = jax.grad(lambda p: p(jnp.ones((2, 1)) * 3, jnp.array([0, 0])))(gl.as_arrays(penalty))
    np.testing.assert_allclose(
        list(gl.hyperparameters(slope).values()), [2.0, 0.0, -0.6], rtol=1e-6
    )
    assert optax.tree.size(penalty) == 3
