"""SAM: the paper's numbers, two gradients a step, zero gradients, and who owns what."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from tests.paper.sam import sam as paper
from tests.reference.load import curves
from tests.wrappers.closed_loop import logistic_gradient


def logistic(features, labels):
    def gradient(x):
        margins = labels * (features @ x)
        pull = -(labels / (1 + np.exp(margins))) @ features / len(labels)
        return pull + 0.1 * x

    return gradient


def closed_loop(opt, grad_fn, x, steps, calls=1):
    """Updates of each step: between parameters before the first and after the last call."""

    def step(carry, _):
        start, state = carry
        x = start
        for _ in range(calls):
            updates, state = opt.update(grad_fn(x), state, x, grad_fn=grad_fn)
            x = optax.apply_updates(x, updates)
        return (x, state), x - start

    return jax.jit(lambda x: jax.lax.scan(step, (x, opt.init(x)), None, length=steps)[1])(x)


@pytest.mark.parametrize("curve", curves("sam"), ids=lambda c: c.name)
@pytest.mark.parametrize("sync_period", [None, 2])
def test_the_paper_and_other_packages(curve, sync_period):
    settings, data = curve.settings, (curve.extra["features"], curve.extra["labels"])
    steps = len(curve.updates)
    expected = [u for u, _ in paper(logistic(*data), curve.params, steps, **settings)]
    with jax.enable_x64(True):
        inner = gl.sgd(settings["learning_rate"], momentum=settings["momentum"])
        opt = gl.sam(inner, settings["rho"], sync_period=sync_period)
        grad_fn = logistic_gradient(curve)
        ours = closed_loop(opt, grad_fn, jnp.asarray(curve.params), steps, sync_period or 1)
    np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(ours, curve.updates, rtol=curve.rtol, atol=curve.atol)


def test_a_step_costs_two_gradients():
    places = []

    def grad_fn(x):
        places.append(x)
        return 2 * x

    opt, x = gl.sam(gl.sgd(0.1), 0.5), jnp.array([3.0, 4.0])
    updates, state = opt.update(grad_fn(x), opt.init(x), x, grad_fn=grad_fn)
    assert len(places) == 2
    np.testing.assert_allclose(places[1], x * 1.1, rtol=1e-6)
    again, _ = opt.update(None, state, x, grad_fn=grad_fn)
    assert len(places) == 4
    np.testing.assert_array_equal(updates, again)


def test_aux_of_the_gradient_uphill_is_in_the_state():
    def grad_fn(x):
        return 2 * x, {"loss": jnp.sum(x**2), "calls": jnp.int32(1)}

    x = jnp.array([3.0, 4.0])
    opt = gl.sam(gl.sgd(0.1), 0.5, has_aux=True, aux_like={"loss": 0.0, "calls": jnp.int32(0)})
    state = opt.init(x)
    _, after = opt.update(2 * x, state, x, grad_fn=grad_fn)
    np.testing.assert_allclose(after.aux["loss"], 25 * 1.1**2, rtol=1e-6)
    assert jax.tree.map(jnp.result_type, after) == jax.tree.map(jnp.result_type, state)
    dropped = gl.sam(gl.sgd(0.1), 0.5, has_aux=True)
    assert dropped.update(2 * x, dropped.init(x), x, grad_fn=grad_fn)[1].aux is None
    other = gl.sam(gl.sgd(0.1), has_aux=True, aux_like=[0.0])
    with pytest.raises(ValueError, match="aux_like"):
        other.update(2 * x, other.init(x), x, grad_fn=grad_fn)
    assert hash(opt) == hash(gl.sam(gl.sgd(0.1), 0.5, has_aux=True, aux_like=after.aux))


@pytest.mark.parametrize("sync_period", [None, 2])
def test_a_zero_gradient_is_no_ascent_in_value_and_derivative(sync_period):
    def end(opt, x):
        state = opt.init(x)
        for _ in range(4):
            updates, state = opt.update(2 * x, state, x, grad_fn=lambda x: 2 * x)
            x = optax.apply_updates(x, updates)
        return jnp.sum(x)

    opt = gl.as_arrays(gl.sam(gl.sgd(0.1, momentum=0.9), sync_period=sync_period))
    slopes = jax.jit(jax.grad(end, argnums=(0, 1)))(opt, jnp.zeros(3))
    assert end(opt, jnp.zeros(3)) == 0
    assert all(jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(slopes))


def test_the_inner_optimizer_stays_in_reach():
    rate = gl.linear_schedule(1.0, 0.0, 10)
    opt = gl.sam(
        gl.chain(gl.clip_by_global_norm(1.0), gl.adam(rate)), gl.linear_schedule(0.5, 0.1, 4)
    )
    assert "inner.links[0].max_norm" in gl.hyperparameters(opt)
    assert gl.replace(opt, max_norm=3.0).inner.links[0].max_norm == 3.0
    x, state = jnp.ones(2), opt.init(jnp.ones(2))
    for _ in range(2):
        _, state = opt.update(x, state, x, grad_fn=lambda x: x)
    now = gl.current(opt, state)
    np.testing.assert_allclose([now["rho"], now["inner.links[1].learning_rate"]], [0.3, 0.8])
    assert state.inner_state[1][0].count == 2


def test_foreign_and_nested_optimizers_and_extra_arguments():
    seen = {}

    def update(updates, state, params=None, *, value, **extra):
        seen.update(extra, value=value)
        return updates, state

    spy = optax.GradientTransformationExtraArgs(lambda p: optax.EmptyState(), update)
    opt, x = gl.sam(optax.chain(spy, optax.sgd(0.1))), jnp.ones(2)
    opt.update(x, opt.init(x), x, value=7.0, grad_fn=lambda x: x)
    assert seen["value"] == 7.0
    nested = gl.sam(gl.sam(gl.sgd(0.1), 0.2), 0.1)
    updates, _ = nested.update(x, nested.init(x), x, grad_fn=lambda x: x)
    plain = gl.sam(gl.sam(gl.sgd(0.1), 0.2, has_aux=False), 0.1, has_aux=True)
    same, _ = plain.update(x, plain.init(x), x, grad_fn=lambda x: (x, "aux"))
    np.testing.assert_array_equal(updates, same)


def test_calls_that_take_turns_keep_dtypes_and_skip_what_has_no_gradient():
    params = {"a": jnp.ones(3, jnp.bfloat16), "b": jnp.ones(2), "none": None}
    opt = gl.sam(optax.adam(0.1), sync_period=3)
    gradients = {"a": jnp.ones(3), "b": None, "none": None}
    state = opt.init({**params, "b": None})
    missing = {**params, "b": None}

    @jax.jit
    def run(p, state):
        def step(carry, _):
            updates, state = opt.update(gradients, carry[1], carry[0])
            return (optax.apply_updates(carry[0], updates), state), None

        return jax.lax.scan(step, (p, state), None, length=6)[0]

    end, after = run(missing, state)
    assert end["a"].dtype == jnp.bfloat16
    assert after.inner_state[0].count == 2
    assert state.cache["a"] is not params["a"]


def test_what_is_missing_is_said():
    opt, x = gl.sam(gl.sgd(0.1)), jnp.ones(2)
    with pytest.raises(TypeError, match="sam: update needs the extra argument grad_fn"):
        opt.update(x, opt.init(x), x)
    with pytest.raises(ValueError, match="needs the parameters"):
        opt.update(x, opt.init(x), grad_fn=lambda x: x)
    with pytest.raises(TypeError, match="gradient transformation"):
        gl.sam(gl.sgd)
    with pytest.raises(ValueError, match="at least 1"):
        gl.sam(gl.sgd(0.1), sync_period=0)
    with pytest.raises(ValueError, match=r"\[0, inf\)"):
        gl.sam(gl.sgd(0.1), -1.0)
