"""Training that can be differentiated: all ways agree, with each other and with differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from gradlab.meta import _checkpointed_scan
from gradlab.meta._training_step import training_step
from gradlab.testing._subject import compiled_once

pytestmark = pytest.mark.slow

STEPS = 1000
BUDGETS = (150_000, 60_000)
"""Bytes that segments of the network below fit into, and that need single steps in segments."""


def network(params, inputs):
    return jnp.tanh(inputs @ params["a"] + params["b"]) @ params["c"]


def loss(params, batch):
    inputs, targets, weights = batch
    return jnp.mean(weights * jnp.square(network(params, inputs) - targets))


def problem(steps=STEPS, dtype=jnp.float64):
    """A tiny network, and batches of weighted examples."""
    draw = np.random.default_rng(0)
    params = {"a": draw.normal(size=(2, 4)), "b": draw.normal(size=4), "c": draw.normal(size=4)}
    inputs = draw.normal(size=(steps, 4, 2))
    batches = (inputs, np.sin(2 * inputs[..., 0]) + inputs[..., 1], np.ones((steps, 4)))
    return jax.tree.map(lambda x: jnp.asarray(x, dtype), (params, batches))


def held_out(params):
    inputs = jnp.asarray(np.random.default_rng(1).normal(size=(16, 2)), params["a"].dtype)
    return jnp.mean(jnp.square(network(params, inputs) - jnp.sin(2 * inputs[:, 0]) - inputs[:, 1]))


def scheduled():
    """Warm-up and decay end between two steps: at a step, there would be a kink."""
    return gl.adamw(gl.warmup_cosine_decay_schedule(1e-3, 3e-2, 100.5, STEPS + 0.5, 1e-3), eps=1e-3)


def after_training(opt, params, batches, **how):
    return held_out(gl.meta.unroll(opt, loss, params, batches, **how).params)


def gradients(memory):
    def both(opt, params, batches):
        return after_training(opt, params, batches, memory=memory)

    return compiled_once(jax.value_and_grad(both, argnums=(0, 1, 2)))


@pytest.fixture(scope="module")
def exact():
    """Value and gradients through 1,000 Adam steps in double precision, for each way to store."""
    with jax.enable_x64(True):
        given = (scheduled(), *problem())
        ways = ("plain", "segments", "steps", *BUDGETS)
        return {memory: jax.tree.map(np.asarray, gradients(memory)(*given)) for memory in ways}


@pytest.fixture(scope="module")
def moved():
    """Held-out losses after training with one thing moved up and down, as one program."""
    with jax.enable_x64(True):
        opt, (params, batches) = scheduled(), problem()
        leaves, treedef = jax.tree.flatten(opt)
        sizes = 3e-5 * np.maximum(np.abs(leaves), 1e-3)
        moves = np.concatenate([np.diag(sizes), -np.diag(sizes)])
        along = jax.tree.map(lambda x: jnp.cos(jnp.arange(x.size)).reshape(x.shape), params)
        lanes = len(moves) + 4
        opts = treedef.unflatten(list(np.concatenate([leaves + moves, [leaves] * 4]).T))
        of_params = np.zeros(lanes)
        of_params[-4:-2] = 1e-5, -1e-5
        of_weights = np.zeros(lanes)
        of_weights[-2:] = 1e-4, -1e-4

        def one(opt, of_params, of_weights):
            start = jax.tree.map(lambda x, d: x + of_params * d, params, along)
            inputs, targets, weights = batches
            ramp = jnp.linspace(-1, 1, STEPS)[:, None]
            return after_training(opt, start, (inputs, targets, weights + of_weights * ramp))

        values = np.asarray(compiled_once(jax.vmap(one))(opts, of_params, of_weights))
        opt_values = values[:-4].reshape(2, -1)
        slopes = (opt_values[0] - opt_values[1]) / (2 * sizes)
        rest = (values[-4] - values[-3]) / 2e-5, (values[-2] - values[-1]) / 2e-4
        return slopes, *rest, jax.tree.map(np.asarray, along)


def test_the_gradient_is_shaped_like_the_optimizer(exact):
    _, (grad, *_) = exact["plain"]
    assert jax.tree.structure(grad) == jax.tree.structure(scheduled())
    assert repr(grad).startswith("adamw(")
    assert set(gl.hyperparameters(grad)) == set(gl.hyperparameters(scheduled()))


def test_hyperparameters_and_knots_of_schedules_equal_differences_through_1000_steps(exact, moved):
    _, (grad, *_) = exact["plain"]
    found = np.array(jax.tree.leaves(grad))
    np.testing.assert_allclose(found, moved[0], rtol=2e-4, atol=1e-8)
    assert np.all(found != 0)


def test_initial_parameters_equal_a_difference(exact, moved):
    _, (_, grad, _) = exact["plain"]
    along = jax.tree.map(lambda g, d: np.sum(g * d), grad, moved[3])
    np.testing.assert_allclose(sum(jax.tree.leaves(along)), moved[1], rtol=1e-4)


def test_weights_of_examples_equal_a_difference(exact, moved):
    _, (_, _, (_, _, grad)) = exact["plain"]
    along = np.sum(grad * np.linspace(-1, 1, STEPS)[:, None])
    np.testing.assert_allclose(along, moved[2], rtol=1e-4)


def test_the_budgets_below_are_met_in_different_ways():
    with jax.enable_x64(True):
        opt, (params, batches) = scheduled(), problem()
        step = training_step(loss, False, None)
        given = step, opt, (params, opt.init(params)), (jnp.arange(STEPS), batches)
        plans = [_checkpointed_scan.plan_for(m, *given, STEPS, "unroll") for m in BUDGETS]
    assert [plan.each_step for plan in plans] == [False, True]
    assert all(1 < plan.segment < STEPS for plan in plans)


@pytest.mark.parametrize("memory", ["segments", "steps", *BUDGETS])
def test_what_is_stored_does_not_change_the_derivative(exact, memory):
    (value, plain), (again, stored) = exact["plain"], exact[memory]
    assert value == pytest.approx(again, rel=1e-12)

    def same(a, b):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9 * np.max(np.abs(a)))

    jax.tree.map(same, plain, stored)


def test_forward_mode_agrees_with_reverse_mode(exact):
    with jax.enable_x64(True):
        forward = compiled_once(gl.meta.forward_value_and_grad(after_training))
        value, grad = forward(scheduled(), *problem())
    assert repr(grad).startswith("adamw(")
    np.testing.assert_allclose(value, exact["plain"][0], rtol=1e-12)
    for f, r in zip(jax.tree.leaves(grad), jax.tree.leaves(exact["plain"][1][0]), strict=True):
        np.testing.assert_allclose(f, r, rtol=1e-7)


def test_a_number_of_steps_without_divisors_agrees_too():
    steps = 23
    assert steps % _checkpointed_scan.segment_length(steps)

    def trained(memory):
        def last(opt, params, batches):
            run = gl.meta.unroll(opt, loss, params, batches, memory=memory)
            return held_out(run.params) + run.losses[-1], run.losses

        return jax.value_and_grad(last, argnums=(0, 1, 2), has_aux=True)

    with jax.enable_x64(True):
        both = compiled_once(lambda *given: (trained("plain")(*given), trained("segments")(*given)))
        plain, segments = both(gl.adam(1e-2), *problem(steps))
    assert plain[0][1].shape == (steps,)

    def same(a, b):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)

    jax.tree.map(same, plain, segments)


def temporaries(steps, **how):
    opt, (params, batches) = gl.sgd(1e-2, momentum=0.9), problem(steps, jnp.float32)
    program = jax.jit(jax.grad(lambda *given: after_training(*given, **how)))
    return program.lower(opt, params, batches).compile().memory_analysis().temp_size_in_bytes


def test_memory_grows_with_the_root_of_the_steps():
    plain, segments = (
        [temporaries(n, memory=m) for n in (256, 4096)] for m in ("plain", "segments")
    )
    assert plain[1] > 12 * plain[0]
    assert segments[1] < 6 * segments[0]
    assert segments[1] < plain[1] / 10
