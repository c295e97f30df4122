"""Micro batches: equal to one big batch, equal to optax, and free when there is one."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from gradlab import testing
from tests import agreement
from tests.reference.load import curves


def inner():
    rate = gl.cosine_decay_schedule(0.1, 10)
    return gl.chain(gl.clip_by_global_norm(0.5), gl.adamw(rate, weight_decay=0.1))


@pytest.mark.parametrize("every", [1, 2, 5])
def test_micro_batches_are_one_big_batch_clip_and_schedule_included(every):
    with jax.enable_x64(True):
        micro = jnp.asarray(agreement.gradient_sequence((6,), 40))
        big = micro.reshape(-1, every, 6).mean(1)
        updates, _ = agreement.open_loop(
            gl.accumulate_gradients(inner(), every), micro, jnp.ones(6)
        )
        expected, _ = agreement.open_loop(inner(), big, jnp.ones(6))
    updates = updates.reshape(-1, every, 6)
    np.testing.assert_array_equal(updates[:, :-1], 0)
    np.testing.assert_allclose(updates[:, -1], expected, rtol=1e-9, atol=1e-12)


def test_numbers_are_those_of_optax():
    micro = jnp.asarray(agreement.gradient_sequence((6,), 40), jnp.float32)
    ours, _ = agreement.open_loop(gl.accumulate_gradients(gl.adam(0.1), 4), micro, jnp.ones(6))
    theirs = optax.MultiSteps(optax.adam(0.1), 4).gradient_transformation()
    expected, _ = agreement.open_loop(theirs, micro, jnp.ones(6))
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("curve", curves("accumulate_gradients"), ids=lambda c: c.name)
def test_a_stored_run_of_optax(curve):
    settings = dict(curve.settings)
    every = settings.pop("every")
    agreement.assert_matches_reference(gl.accumulate_gradients(gl.adam(**settings), every), curve)


def test_one_call_a_step_is_the_inner_optimizer_itself():
    opt = inner()
    assert gl.accumulate_gradients(opt, 1) == opt
    text = [
        testing.compiled_step(o, 100).as_text().split("\n", 1)[1]
        for o in (gl.accumulate_gradients(opt, 1), opt)
    ]
    assert text[0] == text[1]


def test_the_accumulators_dtype_is_explicit():
    params = jnp.ones(3, jnp.bfloat16)
    assert gl.accumulate_gradients(gl.sgd(0.1), 2).init(params).mean.dtype == jnp.float32
    narrow = gl.accumulate_gradients(gl.sgd(0.1), 2, accumulator_dtype=jnp.bfloat16)
    assert narrow.init(params).mean.dtype == jnp.bfloat16
    # 256 micro batches of 1: a running mean, where a narrow sum would stop growing.
    opt = gl.accumulate_gradients(gl.sgd(1.0), 256, accumulator_dtype=jnp.bfloat16)
    updates, _ = agreement.open_loop(opt, jnp.ones((256, 3)), jnp.zeros(3))
    np.testing.assert_array_equal(updates[-1], -1.0)


def test_between_steps_the_inner_optimizer_does_not_run():
    calls = []

    def update(updates, state, params=None, **extra):
        jax.debug.callback(lambda: calls.append(1))
        return updates, state

    spy = optax.GradientTransformationExtraArgs(lambda p: optax.EmptyState(), update)
    agreement.open_loop(gl.accumulate_gradients(spy, 4), jnp.ones((12, 3)), jnp.zeros(3))
    jax.effects_barrier()
    assert len(calls) == 3


def test_any_inner_optimizer_and_a_leaf_without_gradient():
    opt = gl.accumulate_gradients(optax.adam(0.1), 2)
    params = {"a": jnp.ones(3, jnp.bfloat16), "b": None}
    gradients = {"a": jnp.ones(3), "b": None}
    state = opt.init(params)
    for _ in range(2):
        updates, state = jax.jit(opt.update)(gradients, state, params)
    assert updates["a"].dtype == jnp.bfloat16
    assert updates["b"] is None
    assert state.inner_state[0].count == 1
    with pytest.raises(ValueError, match="every=0: expected an integer of at least 1"):
        gl.accumulate_gradients(gl.sgd(0.1), 0)
