"""Gradients in forward mode."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from tests.meta.quadratic import CURVATURE, HYPER, OUTER, START, TARGETS, loss, numbers, outer_loss
from tests.paper import transcription


def after(opt, batches=TARGETS):
    return outer_loss(gl.meta.unroll(opt, loss, START, batches).params)


def test_paper():
    with jax.enable_x64(True):
        value, grad = gl.meta.forward_value_and_grad(after)(gl.sgd(**HYPER))
    expected, last = transcription("unroll")(TARGETS, START, CURVATURE, OUTER, **HYPER)
    np.testing.assert_allclose(numbers(grad), expected, rtol=1e-10)
    np.testing.assert_allclose(value, np.sum((last - OUTER) ** 2) / 2, rtol=1e-10)


def test_it_takes_any_tree_and_gives_what_the_function_gives():
    def weighted(tree, x):
        return jnp.sum(tree["a"] * x) * tree["b"], {"x": x}

    tree, x = {"a": jnp.arange(3.0), "b": 2.0}, jnp.array([1.0, 4.0, 2.0])
    (value, aux), grad = gl.meta.forward_value_and_grad(weighted, has_aux=True)(tree, x)
    assert value == 16
    np.testing.assert_array_equal(aux["x"], x)
    np.testing.assert_array_equal(grad["a"], 2 * x)
    assert grad["b"] == 8


def test_memory_does_not_grow_with_the_steps():
    def temporaries(steps):
        program = jax.jit(gl.meta.forward_value_and_grad(after))
        compiled = program.lower(gl.sgd(0.1, momentum=0.9), jnp.ones((steps, 3))).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    # A few bytes are left: the losses that the scan stacks and nobody reads.
    assert temporaries(4000) - temporaries(500) <= 8 * 3500


@pytest.mark.parametrize(
    ("function", "argument", "message"),
    [
        (lambda x: x, jnp.ones(2), r"real scalar, not float32 of shape \(2,\)"),
        (lambda x: 1j * x, 1.0, "real scalar, not complex64"),
        (lambda x: x["a"] * 1.0, {"a": 3}, r"argument\['a'\] is no real number but int32"),
    ],
)
def test_what_has_no_derivative_is_refused(function, argument, message):
    with pytest.raises(TypeError, match=message):
        gl.meta.forward_value_and_grad(function)(argument)
