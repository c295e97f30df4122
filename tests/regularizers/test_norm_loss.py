"""Norm loss: the paper's numbers, unit norms, and which parameters count."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import gradlab as gl
from tests.paper.norm_loss import norm_loss as paper


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("shape", [(5, 3), (3, 3, 4, 6)])
def test_value_and_gradient_are_the_papers(shape):
    with jax.enable_x64(True):
        kernel = draw(*shape)
        filters = kernel.reshape(-1, shape[-1]).T
        loss, gradient = paper(filters, weight=0.3)
        found, slope = jax.value_and_grad(gl.norm_loss(0.3))({"kernel": jnp.asarray(kernel)})
        np.testing.assert_allclose(found, loss, rtol=1e-10)
        np.testing.assert_allclose(slope["kernel"].reshape(-1, shape[-1]).T, gradient, rtol=1e-10)


def test_descending_it_brings_every_unit_to_norm_one():
    params = {"dense": draw(7, 4) * 3, "conv": draw(3, 3, 2, 5) * 0.1}
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), params)
    step = jax.jit(
        lambda p: jax.tree.map(lambda x, g: x - 0.1 * g, p, jax.grad(gl.norm_loss(1.0))(p))
    )
    for _ in range(100):
        params = step(params)
    np.testing.assert_allclose(np.linalg.norm(params["dense"], axis=0), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(params["conv"].reshape(-1, 5), axis=0), 1, rtol=1e-5)


def test_a_unit_of_zeros_costs_one_and_has_gradient_zero():
    kernel = jnp.asarray(draw(4, 3)).at[:, 1].set(0)
    slope = jax.grad(gl.norm_loss(1.0))(kernel)
    np.testing.assert_array_equal(slope[:, 1], 0)
    assert float(gl.norm_loss(1.0)(jnp.zeros((4, 3)))) == 3


def test_vectors_count_only_in_a_mask_and_there_they_raise():
    penalty = gl.norm_loss(1.0)
    params = {
        "kernel": jnp.full((2, 2), 2.0),
        "bias": jnp.ones(2),
        "steps": jnp.arange(6).reshape(2, 3),
    }
    assert float(penalty(params)) == float(penalty(params["kernel"]))
    for mask in (
        {"kernel": True, "bias": False, "steps": False},
        gl.by_path({True: "ker*"}, False),
    ):
        assert float(gl.norm_loss(1.0, mask=mask)(params)) == float(penalty(params))
    with pytest.raises(ValueError, match=r"norm_loss: mask .*\['bias'\].*\(2,\).*at least 2 axes"):
        gl.norm_loss(mask={"kernel": True, "bias": True, "steps": False})(params)
    with pytest.raises(ValueError, match=r"no parameter at \['kernle'\]"):
        gl.norm_loss(mask={"kernle": True})(params)
    with pytest.raises(ValueError, match="selects none"):
        gl.norm_loss(mask=lambda p: False)(params)


def test_a_stack_of_layers_is_the_sum_over_layers():
    kernels, biases = jnp.asarray(draw(3, 4, 2)), jnp.asarray(draw(3, 2))
    stacked = gl.norm_loss(0.5, stack_axes=1)({"kernel": kernels, "bias": biases})
    np.testing.assert_allclose(stacked, sum(map(gl.norm_loss(0.5), kernels)), rtol=1e-6)


def test_a_flax_model_is_penalised_as_its_kernels_are():
    model = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
    state = nnx.state(model, nnx.Param)
    penalty = gl.norm_loss(1.0)
    np.testing.assert_allclose(penalty(state), penalty(model.kernel[...]), rtol=1e-6)
    slopes = jax.grad(penalty)(state)
    assert jax.tree.structure(slopes) == jax.tree.structure(state)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": -1.0}, r"norm_loss: weight=-1\.0 is outside \[0, inf\)"),
        ({"stack_axes": -1}, "norm_loss: stack_axes=-1: .*at least 0"),
    ],
)
def test_bad_input_names_argument_value_and_bound(arguments, message):
    with pytest.raises(ValueError, match=message):
        gl.norm_loss(**arguments)
