"""Averages of iterates: the paper, optax's average, and one way to ask for them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from tests import agreement
from tests.reference.load import curves


def test_paper():
    agreement.assert_matches_paper(
        gl.average_iterates(gl.sgd(0.1), 0.9), "average_iterates", learning_rate=0.1, decay=0.9
    )


@pytest.mark.parametrize("curve", curves("average_iterates"), ids=lambda c: c.name)
def test_torch_averages_so_too(curve):
    decay = curve.settings.get("decay", lambda t: t * 1.0 / (t + 1))
    opt = gl.average_iterates(gl.sgd(curve.settings["learning_rate"]), decay)
    agreement.assert_matches_reference(opt, curve)


def run(opt, params, steps=40):
    gradients = jnp.asarray(agreement.gradient_sequence(params.shape, steps), params.dtype)
    updates, states = agreement.open_loop(opt, gradients, params)
    return params + jnp.cumsum(updates, 0), states


def test_the_average_is_that_of_optax():
    x, states = run(gl.average_iterates(optax.adam(0.1), 0.8), jnp.ones(4))
    ema = optax.ema(0.8, debias=False)
    state = optax.EmaState(jnp.int32(0), jnp.ones(4))
    for value, ours in zip(x, states.average, strict=True):
        average, state = ema.update(value, state)
        np.testing.assert_allclose(ours, average, rtol=1e-5)


def test_the_mean_of_all_iterates_is_a_schedule():
    x, states = run(gl.average_iterates(gl.sgd(0.1), lambda t: t / (t + 1)), jnp.ones(4))
    np.testing.assert_allclose(states.average[-1], np.mean(x, 0), rtol=1e-5)


def test_the_parameters_move_as_without_it():
    x, states = run(gl.average_iterates(gl.adam(0.1)), jnp.ones(4))
    alone, inner = run(gl.adam(0.1), jnp.ones(4))
    np.testing.assert_array_equal(x, alone)
    jax.tree.map(np.testing.assert_array_equal, states.inner_state, inner)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda opt: opt,
        lambda opt: gl.chain(gl.clip_by_global_norm(1e9), opt),
        lambda opt: gl.named_chain(("a", gl.clip_by_global_norm(1e9)), ("b", opt)),
        lambda opt: gl.partition({"all": opt}, "all"),
        lambda opt: gl.sam(opt, 0.0),
    ],
    ids=["alone", "chain", "named_chain", "partition", "sam"],
)
def test_evaluation_parameters_are_found_however_deep(wrap):
    opt = wrap(gl.average_iterates(gl.sgd(1.0), 0.5))
    params, g = {"w": jnp.array([4.0])}, {"w": jnp.array([2.0])}
    state = opt.init(params)
    updates, state = opt.update(g, state, params, grad_fn=lambda p: g)
    params = optax.apply_updates(params, updates)
    assert gl.eval_params(opt, state, params)["w"] == 3.0


def test_only_the_group_that_is_averaged_has_others():
    opt = gl.partition(
        {"mean": gl.average_iterates(gl.sgd(1.0), 0.5), "last": gl.adam(0.1)},
        {"a": "mean", "b": "last"},
    )
    params = {"a": jnp.array(4.0), "b": jnp.array(4.0)}
    updates, state = opt.update(params, opt.init(params), params)
    params = optax.apply_updates(params, updates)
    found = gl.eval_params(opt, state, params)
    assert (found["a"], found["b"]) == (2.0, params["b"])


@pytest.mark.parametrize(
    "opt", [gl.adamw(0.1), gl.muon(0.1), optax.sgd(0.1)], ids=["adamw", "muon", "optax"]
)
def test_for_everything_else_they_are_the_parameters(opt):
    opt = gl.chain(opt)
    params = {"w": jnp.ones((2, 2))}
    assert gl.eval_params(opt, opt.init(params), params) is params


def test_a_narrow_parameter_is_averaged_in_float32():
    opt = gl.average_iterates(gl.sgd(1.0), 0.5)
    params = jnp.ones(3, jnp.bfloat16)
    updates, state = opt.update(jnp.full(3, 2e-3), opt.init(params), params)
    assert state.average.dtype == jnp.float32
    np.testing.assert_allclose(state.average, 1 - 1e-3, rtol=1e-6)
    assert gl.eval_params(opt, state, params + updates).dtype == jnp.bfloat16
    assert opt.init(jnp.ones(3)).average is not params


def test_parameters_are_needed():
    opt = gl.average_iterates(gl.sgd(1.0))
    with pytest.raises(ValueError, match="average_iterates: update needs the parameters"):
        opt.update(jnp.ones(2), opt.init(jnp.ones(2)))
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        gl.average_iterates(gl.sgd(1.0), 1.5)
    with pytest.raises(TypeError, match="average_iterates: expected a gradient transformation"):
        gl.average_iterates(gl.sgd)
