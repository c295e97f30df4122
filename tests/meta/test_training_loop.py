"""A training run by `unroll` is what a loop by hand makes, for any optimizer and any dtypes."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from gradlab.testing._subject import compiled_once, problem_params
from gradlab.testing._subject import loss as canonical_loss
from tests.meta.quadratic import START, STEPS, TARGETS, loss, outer_loss

MODES = ("plain", "segments", "steps")


def by_hand(opt, params, batches, extra=lambda *_: {}):
    state, losses = opt.init(params), []
    for batch in batches:
        value, grad = jax.value_and_grad(loss)(params, batch)
        updates, state = opt.update(grad, state, params, **extra(params, batch))
        params = optax.apply_updates(params, updates)
        losses.append(value)
    return params, state, jnp.stack(losses)


def test_it_is_the_loop_that_one_writes_by_hand():
    opt, batches, params = gl.adam(0.1), jnp.asarray(TARGETS[:4]), jnp.asarray(START)
    run = gl.meta.unroll(opt, loss, params, batches)
    expected = by_hand(opt, params, batches)
    assert jax.tree.structure(run[:3]) == jax.tree.structure(expected)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), run[:3], expected)
    assert run.aux is None


def test_training_goes_on_from_a_state():
    opt, batches, params = gl.adam(0.1), jnp.asarray(TARGETS), jnp.asarray(START)
    whole = gl.meta.unroll(opt, loss, params, batches)
    half = gl.meta.unroll(opt, loss, params, batches[:6])
    rest = gl.meta.unroll(opt, loss, half.params, batches[6:], state=half.state)
    np.testing.assert_allclose(rest.params, whole.params, rtol=1e-6)
    np.testing.assert_allclose([*half.losses, *rest.losses], whole.losses, rtol=1e-5)


def test_what_the_loss_gives_beside_itself_is_stacked():
    run = gl.meta.unroll(
        gl.sgd(0.1),
        lambda x, b: (loss(x, b), {"x": x}),
        jnp.asarray(START),
        jnp.asarray(TARGETS),
        has_aux=True,
        memory="segments",
        truncation=6,
    )
    assert run.aux["x"].shape == TARGETS.shape
    np.testing.assert_allclose(run.aux["x"][0], START, rtol=1e-6)


class Seen(NamedTuple):
    values: Any
    grads: Any
    key: Any


def curious():
    """An optimizer that asks for everything, and keeps how far it is from what it should be."""

    def update(grads, state, params, *, value, grad, value_fn, grad_fn, key):
        seen = Seen(
            state.values + jnp.abs(value - value_fn(params)),
            state.grads + jnp.max(jnp.abs(grad - grad_fn(params))) + jnp.max(jnp.abs(grads - grad)),
            key,
        )
        return -0.1 * grads * jax.random.uniform(key), seen

    def init(params):
        return Seen(jnp.zeros(()), jnp.zeros(()), jax.random.PRNGKey(0))

    return optax.GradientTransformationExtraArgs(init, update)


@pytest.mark.parametrize("has_aux", [False, True])
def test_an_optimizer_is_told_what_it_may_ask_for(has_aux):
    def told(params, batch):
        return (loss(params, batch), batch) if has_aux else loss(params, batch)

    given = curious(), told, jnp.asarray(START), jnp.asarray(TARGETS)
    run, again, other = (
        gl.meta.unroll(*given, has_aux=has_aux, key=jax.random.PRNGKey(seed)) for seed in (1, 1, 2)
    )
    assert run.state.values < 1e-5
    assert run.state.grads < 1e-5
    np.testing.assert_array_equal(run.params, again.params)
    assert not np.array_equal(run.params, other.params)


def test_each_step_has_a_key_of_its_own():
    ended = [
        gl.meta.unroll(curious(), loss, jnp.ones(3), jnp.ones((n, 3)), key=jax.random.PRNGKey(1))
        for n in (1, 2)
    ]
    assert not np.array_equal(ended[0].state.key, ended[1].state.key)


def test_an_optimizer_that_needs_a_key_says_so():
    rule = optax.GradientTransformationExtraArgs(
        lambda params: None, lambda grads, state, params, *, key: (grads, state)
    )
    with pytest.raises(TypeError, match="key"):
        gl.meta.unroll(rule, loss, jnp.ones(3), steps=1, batches=jnp.ones((1, 3)))


def test_an_optimizer_that_evaluates_the_loss_itself_can_be_differentiated():
    def after(opt):
        run = gl.meta.unroll(opt, loss, jnp.asarray(START), jnp.asarray(TARGETS[:3]))
        return outer_loss(run.params)

    opt = gl.sam(gl.sgd(0.1), rho=0.3)
    grad = jax.grad(after)(opt)

    def moved(rho):
        return after(gl.replace(opt, rho=rho))

    difference = (moved(0.32) - moved(0.28)) / 0.04
    np.testing.assert_allclose(grad.rho, difference, rtol=2e-2)


def test_hyperparameters_that_an_optax_optimizer_closes_over_have_a_derivative():
    def after(make):
        def rated(rate):
            opt = make(rate)
            return outer_loss(
                gl.meta.unroll(opt, loss, jnp.asarray(START), jnp.asarray(TARGETS)).params
            )

        return compiled_once(jax.grad(rated))(0.1)

    np.testing.assert_allclose(after(optax.adam), after(gl.adam), rtol=1e-4)


def test_a_sweep_is_an_array_axis_and_a_program_serves_all_its_values():
    traces = 0

    def after(opt):
        nonlocal traces
        traces += 1
        run = gl.meta.unroll(opt, loss, jnp.asarray(START), jnp.asarray(TARGETS), memory="segments")
        return outer_loss(run.params)

    opts = [gl.adam(rate) for rate in (0.1, 0.2, 0.4)]
    with jax.enable_x64(True):
        one = compiled_once(jax.grad(after))
        loop = [one(opt) for opt in opts]
        assert traces == 1
        stacked = gl.stack(opts)
        at_once = compiled_once(jax.vmap(jax.grad(after), in_axes=(gl.axes(stacked),)))(stacked)
    for found, expected in zip(gl.unstack(at_once), loop, strict=True):
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-7)


@pytest.mark.parametrize("memory", ["plain", "segments", 10_000])
def test_narrow_parameters_stay_narrow_and_their_hypergradients_are_wide(memory):
    params = {"x": jnp.asarray(START, jnp.bfloat16), "y": jnp.ones((), jnp.float16)}

    def after(opt):
        def both(params, batch):
            return loss(params["x"], batch) + jnp.square(params["y"]).astype(jnp.float32)

        run = gl.meta.unroll(opt, both, params, jnp.asarray(TARGETS), memory=memory)
        return outer_loss(run.params["x"].astype(jnp.float32)), run

    grad, run = compiled_once(jax.grad(after, has_aux=True))(gl.adam(0.1))
    assert (run.params["x"].dtype, run.params["y"].dtype) == (jnp.bfloat16, jnp.float16)
    assert grad.learning_rate.dtype == jnp.float32
    assert all(np.isfinite(g) for g in jax.tree.leaves(grad))


def test_second_derivatives_pass_through_segments():
    def after(rate, memory):
        opt = gl.sgd(rate, momentum=0.5)
        run = gl.meta.unroll(opt, loss, jnp.asarray(START), jnp.asarray(TARGETS), memory=memory)
        return outer_loss(run.params)

    curvature = compiled_once(lambda rate: [jax.hessian(after)(rate, m) for m in MODES])(0.1)
    np.testing.assert_allclose(curvature[1:], curvature[0], rtol=1e-4)
    slope = compiled_once(lambda rate: jax.grad(after)(rate, "plain"))
    difference = (slope(0.101) - slope(0.099)) / 0.002
    np.testing.assert_allclose(curvature[0], difference, rtol=1e-2)


def test_hypergradients_are_finite_where_units_are_dead_and_rows_never_read():
    def after(opt):
        run = gl.meta.unroll(opt, lambda p, _: canonical_loss(p), problem_params(), steps=5)
        return canonical_loss(run.params)

    grad = compiled_once(jax.grad(after))(gl.adamw(0.01))
    assert all(np.isfinite(g) for g in jax.tree.leaves(grad))


def test_batches_may_be_keys_and_labels():
    def drawn(x, batch):
        noise = jax.random.normal(batch["key"], x.shape)
        return loss(x, noise + jax.nn.one_hot(batch["label"], len(x)))

    batches = {"key": jax.random.split(jax.random.key(0), 6), "label": jnp.arange(6) % 3}

    def after(opt, memory, truncation):
        how = {"memory": memory, "truncation": truncation}
        return outer_loss(gl.meta.unroll(opt, drawn, jnp.asarray(START), batches, **how).params)

    slopes = [
        jax.grad(after)(gl.sgd(0.1), memory, truncation).learning_rate
        for memory, truncation in (("plain", None), ("segments", 6), (100_000, None))
    ]
    np.testing.assert_allclose(slopes[1:], slopes[0], rtol=1e-5)


def test_without_batches_every_step_is_given_none():
    run = gl.meta.unroll(gl.sgd(0.1), lambda x, b: x**2 if b is None else b, 1.0, steps=3)
    np.testing.assert_allclose(run.params, 0.8**3, rtol=1e-6)


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ({"steps": None, "batches": None}, ValueError, "without batches, steps has to say"),
        ({"steps": 5}, ValueError, "batches has 12 entries on its leading axis, .* steps says 5"),
        ({"batches": {"a": TARGETS, "b": TARGETS[:3]}}, ValueError, r"batches\['b'\] has 3 .*'a'"),
        ({"batches": {"a": 1.0}}, ValueError, r"batches\['a'\] is a scalar"),
        ({"batches": TARGETS[:0]}, ValueError, "at least one"),
        ({"steps": 0, "batches": None}, ValueError, "steps: expected an integer of at least 1"),
        ({"steps": 2.5}, TypeError, "steps: expected an integer"),
        ({"truncation": 0}, ValueError, "truncation: expected an integer of at least 1"),
        ({"truncation": 13}, ValueError, "truncation=13 is more than the 12 steps"),
        ({"memory": "segment"}, ValueError, "'plain', 'segments', 'steps' or a number of bytes"),
        ({"memory": -1}, ValueError, "at least 1 byte, got -1"),
        ({"memory": 1.5}, TypeError, "whole number of bytes"),
        ({"memory": True}, TypeError, "whole number of bytes"),
        ({"memory": 30}, ValueError, "memory=30 bytes are too few for 12 steps: .* at least"),
        ({"opt": gl.adam}, TypeError, "unroll: expected a gradient transformation"),
    ],
)
def test_bad_input_is_refused_by_name(how, error, message):
    given = {"opt": gl.adam(0.1), "loss_fn": loss, "params": jnp.ones(3), "batches": TARGETS}
    with pytest.raises(error, match=message):
        gl.meta.unroll(**(given | how))


def test_the_quadratic_has_as_many_steps_as_it_says():
    assert len(TARGETS) == STEPS
