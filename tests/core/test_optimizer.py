"""Weight decay has one convention, and masks say what they miss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl

PARAMS = {"w": jnp.array([1.0, -2.0]), "b": jnp.array([3.0])}
ZERO = jax.tree.map(jnp.zeros_like, PARAMS)


def step(opt, params=PARAMS, gradients=ZERO):
    return opt.update(gradients, opt.init(params), params)[0]


@pytest.mark.parametrize("name", ["adamw", "sgd", "lion", "adam", "adagrad", "ademamix"])
def test_decay_is_decoupled_and_scaled_by_the_learning_rate(name):
    opt = gl.from_name(name, learning_rate=0.1, weight_decay=0.5)
    np.testing.assert_allclose(step(opt)["w"], -0.1 * 0.5 * PARAMS["w"], rtol=1e-6)


@pytest.mark.parametrize("mask", [{"w": True, "b": False}, lambda p: {"w": True, "b": False}])
def test_a_mask_chooses_what_decays(mask):
    updates = step(gl.adamw(0.1, weight_decay=0.5, mask=mask))
    np.testing.assert_allclose(updates["w"], -0.05 * PARAMS["w"], rtol=1e-6)
    np.testing.assert_array_equal(updates["b"], 0)


def test_a_mask_with_a_wrong_path_prints_it():
    with pytest.raises(ValueError, match=r"\['wrong'\]"):
        gl.adamw(0.1, mask={"w": True, "b": True, "wrong": True}).init(PARAMS)


def test_a_mask_that_selects_nothing_prints_the_paths():
    with pytest.raises(ValueError, match=r"selects none.*\['w'\]"):
        gl.adamw(0.1, mask={"w": False, "b": False}).init(PARAMS)


def test_decay_without_parameters_says_so():
    opt = gl.adamw(0.1)
    with pytest.raises(ValueError, match="adamw: weight_decay needs the parameters"):
        opt.update(ZERO, opt.init(PARAMS))
    zero = gl.adamw(0.1, weight_decay=0.0)
    zero.update(ZERO, zero.init(PARAMS))


def test_learning_rate_and_decay_may_be_schedules():
    opt = gl.adamw(lambda count: 0.1 / (count + 1), weight_decay=gl.linear_schedule(0.0, 1.0, 2))
    state = opt.init(PARAMS)
    for rate, decay in ((0.1, 0.0), (0.05, 0.5), (0.1 / 3, 1.0)):
        updates, state = opt.update(ZERO, state, PARAMS)
        np.testing.assert_allclose(updates["w"], -rate * decay * PARAMS["w"], rtol=1e-6)


def test_a_constant_schedule_equals_a_number_bit_for_bit():
    gradients = {"w": jnp.array([0.3, -0.1]), "b": jnp.array([1e-3])}
    a = step(gl.adamw(0.1), gradients=gradients)
    b = step(gl.adamw(gl.constant_schedule(0.1)), gradients=gradients)
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_real_moment_dtype_keeps_complex_averages_complex():
    params = {"w": jnp.array([1 + 2j]), "v": jnp.array([1.0])}
    state = gl.adam(0.1, mu_dtype="bfloat16").init(params)[0]
    assert state.mu["w"].dtype == jnp.complex64
    assert state.mu["v"].dtype == jnp.bfloat16
