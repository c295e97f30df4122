"""bSAM: the paper with its samples, what it contains, and the uncertainty it learns."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from tests.paper.bsam import bsam as paper
from tests.reference.load import curves
from tests.wrappers.closed_loop import (
    START,
    gradient,
    logistic_gradient,
    loss,
    states_of,
    updates_of,
)

SETTINGS = {"rho": 0.1, "b1": 0.8, "b2": 0.9, "prior": 0.01, "damping": 0.2, "initial_scale": 0.7}


def samples(steps):
    """The normal numbers of each step, from the same key."""
    key = jax.random.PRNGKey(3)
    rows = []
    for _ in range(steps):
        key, sample = jax.random.split(key)
        rows.append(np.asarray(optax.tree.random_like(sample, jnp.asarray(START))))
    return rows


def test_paper():
    with jax.enable_x64(True):
        opt = gl.bsam(gl.sgd(0.02), 50.0, **SETTINGS, key=3)
        ours = updates_of(opt, jax.grad(loss), START, 60)
        noise = samples(60)
        _, state = states_of(opt, jax.grad(loss), START, 60)
    rows = list(paper(gradient, START, noise, learning_rate=0.02, data_size=50.0, **SETTINGS))
    np.testing.assert_allclose(ours, [update for update, _ in rows], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(state.memory.s, rows[-1][1]["s"], rtol=1e-10)
    np.testing.assert_allclose(state.memory.mu, rows[-1][1]["mu"], rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("curve", curves("bsam"), ids=lambda c: c.name)
def test_other_peoples_code_with_the_same_samples(curve):
    settings = dict(curve.settings)
    rate, steps, x = settings.pop("learning_rate"), len(curve.updates), curve.params
    with jax.enable_x64(True):
        opt = gl.bsam(gl.sgd(rate), **settings)
        grad_fn = logistic_gradient(curve)
        ours = updates_of(opt, grad_fn, x, steps)
        _, state = states_of(opt, grad_fn, x, steps)
    assert np.allclose(ours, curve.updates, rtol=curve.rtol, atol=curve.atol) == curve.agrees
    if curve.agrees:
        np.testing.assert_allclose(state.memory.s, curve.extra["scales"][-1], rtol=curve.rtol)


def test_with_a_fixed_scale_and_all_data_it_is_unnormalised_sam_with_momentum():
    with jax.enable_x64(True):
        opt = gl.bsam(gl.sgd(0.02), 1e30, rho=0.1, b1=0.8, b2=1.0, prior=0.0, initial_scale=1.0)
        ours = updates_of(opt, jax.grad(loss), START, 30)
        momentum = gl.chain(gl.ema(0.8, debias=False), gl.sgd(0.02))
        usam = updates_of(gl.usam(momentum, 0.1), jax.grad(loss), START, 30)
    np.testing.assert_allclose(ours, usam, rtol=1e-9, atol=1e-13)


def test_the_gradient_that_is_given_is_not_needed():
    opt, x = gl.bsam(gl.sgd(0.1), 100.0, key=1), jnp.asarray(START, jnp.float32)
    state = opt.init(x)
    given, _ = opt.update(jax.grad(loss)(x), state, x, grad_fn=jax.grad(loss))
    without, _ = opt.update(None, state, x, grad_fn=jax.grad(loss))
    np.testing.assert_array_equal(given, without)


def test_two_gradients_are_taken_in_a_step():
    calls = []

    def counted(p):
        calls.append(p)
        return jax.grad(loss)(p)

    opt, x = gl.bsam(gl.sgd(0.1), 100.0), jnp.asarray(START, jnp.float32)
    opt.update(None, opt.init(x), x, grad_fn=counted)
    assert len(calls) == 2
    assert all(np.any(place != x) for place in calls)


def test_the_spread_of_samples_is_that_of_the_posterior():
    opt = gl.bsam(gl.sgd(0.0), 25.0, initial_scale=4.0, rho=0.0)
    x, places = jnp.zeros(2000), []

    def seen(p):
        places.append(p)
        return jnp.zeros_like(p)

    opt.update(None, opt.init(x), x, grad_fn=seen)
    assert np.std(places[0]) == pytest.approx(1 / np.sqrt(25.0 * 4.0), rel=0.05)
    np.testing.assert_array_equal(places[1], 0.0)


def test_steep_directions_are_known_better():
    steep = jnp.array([10.0, 0.1])
    opt = gl.bsam(gl.sgd(1e-3), 100.0, b2=0.9)
    x = jnp.ones(2)
    state = opt.init(x)
    for _ in range(100):
        updates, state = opt.update(None, state, x, grad_fn=lambda p: steep * p)
        x = x + updates
    assert state.memory.s[0] > 5 * state.memory.s[1]


def test_bad_input_names_argument_value_and_bound():
    for name, value, bound in (
        ("data_size", 0.0, r"\(0, inf\)"),
        ("initial_scale", 0.0, r"\(0, inf\)"),
        ("b1", 1.0, r"\[0, 1\)"),
        ("damping", -1.0, r"\[0, inf\)"),
    ):
        with pytest.raises(ValueError, match=rf"{name}={value} is outside {bound}"):
            gl.bsam(gl.sgd(0.1), **{"data_size": 1.0, name: value})
    opt = gl.bsam(gl.sgd(0.1), 100.0)
    with pytest.raises(TypeError, match="grad_fn"):
        opt.update(jnp.ones(2), opt.init(jnp.ones(2)), jnp.ones(2))
    with pytest.raises(ValueError, match="update needs the parameters"):
        opt.update(jnp.ones(2), opt.init(jnp.ones(2)), grad_fn=jnp.cos)
