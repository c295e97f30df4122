"""The vanishing gradient penalty: the paper's numbers, its derivative, and error signals kept."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from tests.paper.vanishing_gradient_penalty import authors_penalty
from tests.paper.vanishing_gradient_penalty import vanishing_gradient_penalty as paper

UNITS, STEPS = 4, 5


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def transition(params, x, u):
    return params["W"] @ jnp.tanh(x) + params["V"] @ u


def unrolled(params, inputs, target):
    """States before each step, and the error's gradients by the states after it."""

    def error(nudges):
        def step(x, given):
            u, nudge = given
            return transition(params, x, u) + nudge, x

        last, states = jax.lax.scan(step, jnp.zeros(UNITS, nudges.dtype), (inputs, nudges))
        return jnp.sum((last - target) ** 2), states

    return jax.grad(error, has_aux=True)(jnp.zeros((len(inputs), UNITS), inputs.dtype))


def parameters(scale=1.0):
    w = scale * draw(UNITS, UNITS) / np.sqrt(UNITS)
    return {"W": jnp.asarray(w), "V": jnp.asarray(draw(UNITS, 2, seed=1))}


@pytest.mark.parametrize("squared", [True, False])
def test_value_and_immediate_derivative_are_the_papers(squared):
    with jax.enable_x64(True):
        params, inputs = parameters(), jnp.asarray(draw(STEPS, 2, seed=2))
        signals, states = unrolled(params, inputs, 1.0)
        penalty = gl.vanishing_gradient_penalty(0.3, squared=squared, reduction="sum")

        def whole(params):
            signals, states = unrolled(params, inputs, 1.0)
            return penalty(params, transition, states, signals, inputs)

        value, slope = jax.value_and_grad(whole)(params)
        omega, gradient = paper(*map(np.asarray, (params["W"], states, signals)), squared=squared)
        np.testing.assert_allclose(value, 0.3 * omega, rtol=1e-10)
        np.testing.assert_allclose(slope["W"], 0.3 * gradient, rtol=1e-10)
        np.testing.assert_array_equal(slope["V"], 0)


def test_over_a_batch_the_mean_is_the_authors():
    with jax.enable_x64(True):
        w, states, signals = draw(UNITS, UNITS), draw(3, 5, UNITS), draw(3, 5, UNITS, seed=1)
        signals[1, 2:] = 0
        signals[2, 0] *= 1e-5
        found = gl.vanishing_gradient_penalty(1.0)(
            jnp.asarray(w), lambda w, x: w @ jnp.tanh(x), jnp.asarray(states), jnp.asarray(signals)
        )
        np.testing.assert_allclose(found, authors_penalty(w, states, signals), rtol=1e-10)


@pytest.mark.parametrize("squared", [True, False])
def test_rotations_cost_nothing_and_contractions_do(squared):
    rotation = jnp.asarray(np.linalg.qr(draw(UNITS, UNITS))[0], jnp.float32)
    states = signals = jnp.asarray(draw(STEPS, UNITS), jnp.float32)
    penalty = gl.vanishing_gradient_penalty(squared=squared)

    def cost(scale):
        return float(penalty(scale * rotation, lambda w, x: w @ x, states, signals))

    np.testing.assert_allclose(cost(1.0), 0, atol=1e-10)
    np.testing.assert_allclose(cost(0.5), 0.75**2 if squared else 0.5**2, rtol=1e-4)


def test_descending_it_keeps_error_signals_from_vanishing():
    params = jax.tree.map(lambda x: x.astype(jnp.float32), parameters(0.3))
    inputs = jnp.asarray(draw(12, 2, seed=2), jnp.float32)
    penalty = gl.vanishing_gradient_penalty()

    def first_signal(params):
        signals, _ = unrolled(params, inputs, 1.0)
        return float(jnp.linalg.norm(signals[0]) / jnp.linalg.norm(signals[-1]))

    @jax.jit
    def step(params):
        def omega(params):
            signals, states = unrolled(params, inputs, 1.0)
            return penalty(params, transition, states, signals, inputs)

        return jax.tree.map(lambda p, g: p - 0.05 * g, params, jax.grad(omega)(params))

    before = first_signal(params)
    for _ in range(300):
        params = step(params)
    assert before < 1e-6
    assert first_signal(params) > 1e-2


def whole_of(penalty, inputs):
    def whole(params):
        signals, states = unrolled(params, inputs, 1.0)
        return penalty(params, transition, states, signals, inputs)

    return whole


def test_the_derivative_of_the_immediate_derivative_is_a_whole_one():
    # What descent follows depends on states and signals, and so do hypergradients.
    with jax.enable_x64(True):
        params, inputs = parameters(), jnp.asarray(draw(STEPS, 2, seed=2))
        slope = jax.jit(jax.grad(whole_of(gl.vanishing_gradient_penalty(), inputs)))
        direction = jax.tree.map(jnp.cos, params)
        second = jax.jvp(slope, (params,), (direction,))[1]
        h = 1e-6
        ahead, behind = (
            slope(jax.tree.map(lambda p, d, s=s: p + s * h * d, params, direction)) for s in (1, -1)
        )
        np.testing.assert_allclose(second["W"], (ahead["W"] - behind["W"]) / (2 * h), rtol=1e-6)
        assert np.max(np.abs(second["V"])) == 0


def test_the_whole_derivative_equals_finite_differences_on_request():
    with jax.enable_x64(True):
        params, inputs = parameters(), jnp.asarray(draw(STEPS, 2, seed=2))
        whole = jax.jit(whole_of(gl.vanishing_gradient_penalty(immediate=False), inputs))
        direction = jax.tree.map(jnp.cos, params)
        slope = jax.jvp(whole, (params,), (direction,))[1]
        h = 1e-6
        ahead, behind = (
            whole(jax.tree.map(lambda p, d, s=s: p + s * h * d, params, direction)) for s in (1, -1)
        )
        np.testing.assert_allclose(slope, (ahead - behind) / (2 * h), rtol=1e-6)
        immediate = jax.jvp(
            whole_of(gl.vanishing_gradient_penalty(), inputs), (params,), (direction,)
        )[1]
        assert abs(slope - immediate) > 1e-3 * abs(slope)


def test_parameters_that_a_transition_closes_over_are_its_parameters_too():
    states = signals = jnp.asarray(draw(STEPS, UNITS), jnp.float32)
    penalty = gl.vanishing_gradient_penalty()

    def closed(w):
        return penalty((), lambda _, x: w @ jnp.tanh(x), states, signals)

    def passed(w):
        return penalty(w, lambda w, x: w @ jnp.tanh(x), states, signals)

    w = jnp.asarray(draw(UNITS, UNITS), jnp.float32)
    np.testing.assert_allclose(jax.grad(closed)(w), jax.grad(passed)(w), rtol=1e-5)


def test_signals_of_any_size_count_but_zeros():
    w, states = jnp.asarray(draw(UNITS, UNITS)), jnp.asarray(draw(STEPS, UNITS))
    signals = jnp.asarray(draw(STEPS, UNITS, seed=1))
    penalty, step = gl.vanishing_gradient_penalty(), lambda w, x: w @ jnp.tanh(x)
    np.testing.assert_allclose(
        penalty(w, step, states, 1e-30 * signals), penalty(w, step, states, signals), rtol=1e-5
    )
    nothing, slope = jax.value_and_grad(penalty)(w, step, states, 0 * signals)
    assert float(nothing) == 0
    np.testing.assert_array_equal(slope, 0)


def test_bad_input_says_what_is_wrong():
    penalty, step = gl.vanishing_gradient_penalty(), lambda w, x: w @ x
    with pytest.raises(ValueError, match=r"weight=-1\.0 is outside \[0, inf\)"):
        gl.vanishing_gradient_penalty(-1.0)
    with pytest.raises(ValueError, match=r"states has \(3, 2\) and signals has \(4, 2\)"):
        penalty(jnp.eye(2), step, jnp.ones((3, 2)), jnp.ones((4, 2)))
    with pytest.raises(TypeError, match="complex"):
        penalty(jnp.eye(2), step, jnp.ones((3, 2), jnp.complex64), jnp.ones((3, 2)))
