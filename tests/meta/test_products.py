"""Products of curvature matrices with trees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import gradlab as gl

DRAW = np.random.default_rng(0)
INPUTS, TARGETS = DRAW.normal(size=(5, 3)), DRAW.normal(size=(5, 2))
PARAMS = {"head": DRAW.normal(size=(2, 2)), "kernel": DRAW.normal(size=(3, 2))}
VECTOR = {"head": DRAW.normal(size=(2, 2)), "kernel": DRAW.normal(size=(3, 2))}


def predict(params):
    return jnp.tanh(INPUTS @ params["kernel"]) @ params["head"]


def loss(outputs):
    return jnp.sum(jax.nn.softplus(outputs) * TARGETS**2)


def objective(params):
    return loss(predict(params))


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def flat_function(function):
    flat, back = ravel_pytree(jax.tree.map(jnp.asarray, PARAMS))
    return flat, lambda x: function(back(x))


def test_the_hessian_product_is_the_hessian_times_the_vector():
    flat, function = flat_function(objective)
    expected = jax.hessian(function)(flat) @ ravel_pytree(VECTOR)[0]
    found = gl.meta.hessian_vector_product(objective, PARAMS, VECTOR)
    assert set(found) == set(PARAMS)
    np.testing.assert_allclose(ravel_pytree(found)[0], expected, rtol=1e-10)


def test_the_gauss_newton_product_leaves_out_the_models_curvature():
    flat, function = flat_function(lambda p: predict(p).ravel())
    jacobian = jax.jacobian(function)(flat)
    outer = jax.hessian(lambda z: loss(z.reshape(5, 2)))(function(flat))
    expected = jacobian.T @ outer @ jacobian @ ravel_pytree(VECTOR)[0]
    found = gl.meta.gauss_newton_vector_product(predict, loss, PARAMS, VECTOR)
    np.testing.assert_allclose(ravel_pytree(found)[0], expected, rtol=1e-10)
    full = gl.meta.hessian_vector_product(objective, PARAMS, VECTOR)
    assert not np.allclose(ravel_pytree(full)[0], expected, rtol=1e-2)


def test_they_are_the_same_where_the_model_is_linear():
    def linear(params):
        return INPUTS @ params["kernel"]

    params, vector = {"kernel": PARAMS["kernel"]}, {"kernel": VECTOR["kernel"]}
    np.testing.assert_allclose(
        gl.meta.gauss_newton_vector_product(linear, loss, params, vector)["kernel"],
        gl.meta.hessian_vector_product(lambda p: loss(linear(p)), params, vector)["kernel"],
        rtol=1e-12,
    )


def test_a_vector_that_is_no_such_tree_is_refused():
    with pytest.raises((TypeError, ValueError)):
        gl.meta.hessian_vector_product(objective, PARAMS, {"head": VECTOR["head"]})
    with pytest.raises((TypeError, ValueError)):
        gl.meta.gauss_newton_vector_product(predict, loss, PARAMS, VECTOR["head"])
