"""Hessian alignment: the paper's numbers, zero where domains agree, features learn from it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from tests.paper.hessian_alignment import head_derivatives
from tests.paper.hessian_alignment import hessian_alignment as paper

DOMAINS, EXAMPLES, INPUTS, CLASSES = 3, 7, 2, 3


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def data():
    labels = np.random.default_rng(5).integers(0, CLASSES, size=(DOMAINS, EXAMPLES))
    return draw(DOMAINS, EXAMPLES, INPUTS), labels


def losses_of(features, labels):
    def losses(head):
        logits = features @ head["kernel"]
        each = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return jnp.mean(each, axis=1)

    return losses


def test_products_of_hessian_and_gradient_are_the_papers():
    features, labels = data()
    kernel = draw(INPUTS, CLASSES, seed=1)
    domains = [head_derivatives(kernel, x, y) for x, y in zip(features, labels, strict=True)]
    with jax.enable_x64(True):
        penalty = gl.hessian_alignment(0.3, 0.7)
        losses = losses_of(jnp.asarray(features), labels)
        found = penalty({"kernel": jnp.asarray(kernel)}, losses)
    expected = paper(domains, hessian_weight=0.3, gradient_weight=0.7)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def signs_of(key, samples, like):
    """The random signs as they are drawn, one row for each sample."""
    rows = []
    for k in jax.random.split(key, samples):
        (own,) = jax.random.split(k, 1)
        rows.append(np.asarray(jax.random.rademacher(own, like.shape, like.dtype)).ravel())
    return np.array(rows)


def test_hutchinsons_estimates_are_the_papers():
    features, labels = data()
    kernel, key = draw(INPUTS, CLASSES, seed=1), jax.random.PRNGKey(3)
    domains = [head_derivatives(kernel, x, y) for x, y in zip(features, labels, strict=True)]
    with jax.enable_x64(True):
        penalty = gl.hessian_alignment(0.3, 0.7, method="hutchinson", samples=4)
        losses = losses_of(jnp.asarray(features), labels)
        found = penalty({"kernel": jnp.asarray(kernel)}, losses, key)
        signs = signs_of(key, 4, jnp.asarray(kernel))
    expected = paper(domains, hessian_weight=0.3, gradient_weight=0.7, signs=signs)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def quadratics(curvatures, slopes):
    """Domains with the losses h x² / 2 + s x, coordinate by coordinate."""
    h, s = jnp.asarray(curvatures), jnp.asarray(slopes)
    return lambda head: jnp.sum(h * head**2 / 2 + s * head, axis=1)


@pytest.mark.parametrize("method", ["hgp", "hutchinson"])
def test_it_is_zero_if_and_only_if_gradients_and_curvatures_agree(method):
    head, key = jnp.array([1.0, -2.0]), jax.random.PRNGKey(0)
    penalty = gl.hessian_alignment(1.0, 1.0, method=method, samples=2)
    curvatures = np.array([[1.0, 2.0], [1.0, 2.0]])
    same = quadratics(curvatures, np.ones((2, 2)))
    assert float(penalty(head, same, key)) == 0
    other_gradients = quadratics(curvatures, np.array([[1.0, 1.0], [2.0, 1.0]]))
    assert float(penalty(head, other_gradients, key)) > 0.1
    # Other Hessians, with slopes that make the gradients at this head agree.
    other = np.array([[1.0, 2.0], [3.0, 1.0]])
    compensated = quadratics(other, 5.0 - other * np.asarray(head))
    only_gradients = gl.hessian_alignment(0.0, 1.0, method=method, samples=2)
    only_hessians = gl.hessian_alignment(1.0, 0.0, method=method, samples=2)
    np.testing.assert_allclose(only_gradients(head, compensated, key), 0, atol=1e-10)
    scale = 5.0 if method == "hgp" else 1.0
    spread = np.sum(np.var(scale * other, axis=0))
    np.testing.assert_allclose(only_hessians(head, compensated, key), spread, rtol=1e-5)


def test_the_mean_may_be_held_constant_without_a_change_of_the_gradient():
    # Deviations from a mean sum to zero, so the authors' detached means change nothing.
    curvatures, slopes = draw(3, 2), draw(3, 2, seed=1)

    def with_constant_means(head):
        gradients = jnp.asarray(curvatures) * head + slopes
        products = curvatures * gradients
        return sum(
            jnp.mean(jnp.sum((x - jax.lax.stop_gradient(jnp.mean(x, 0))) ** 2, axis=1))
            for x in (gradients, products)
        )

    head = jnp.array([0.3, -1.0])
    ours = jax.grad(lambda h: gl.hessian_alignment(1.0, 1.0)(h, quadratics(curvatures, slopes)))
    np.testing.assert_allclose(ours(head), jax.grad(with_constant_means)(head), rtol=1e-4)


def test_features_learn_from_it_and_descent_aligns_the_domains():
    features, labels = data()
    features, head = jnp.asarray(features), {"kernel": jnp.asarray(draw(INPUTS, CLASSES, seed=1))}
    penalty = gl.hessian_alignment(1.0, 1.0)

    @jax.jit
    def step(x):
        value, slope = jax.value_and_grad(lambda x: penalty(head, losses_of(x, labels)))(x)
        return value, x - 0.5 * slope

    values = []
    for _ in range(60):
        value, features = step(features)
        values.append(float(value))
    assert values[-1] < 0.1 * values[0]


def test_bad_input_says_what_is_wrong():
    penalty, head = gl.hessian_alignment(), jnp.ones(2)
    with pytest.raises(ValueError, match=r"hessian_weight=-1\.0 is outside \[0, inf\)"):
        gl.hessian_alignment(-1.0)
    with pytest.raises(ValueError, match="'hgp', 'hutchinson', got 'hpg'"):
        gl.hessian_alignment(method="hpg")
    with pytest.raises(ValueError, match=r"array of shape \(domains,\)"):
        penalty(head, lambda h: jnp.sum(h**2))
    with pytest.raises(TypeError, match=r"method='hutchinson' .* needs key="):
        gl.hessian_alignment(method="hutchinson")(head, lambda h: h**2)
    with pytest.raises(TypeError, match="complex"):
        penalty(head.astype(jnp.complex64), lambda h: h.real)
