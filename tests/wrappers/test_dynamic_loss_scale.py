"""Dynamic loss scaling: torch's scaler, the order of unscale, accumulate and clip, float16."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from tests import agreement
from tests.reference.load import curves


def scale_of(state):
    return float(gl.scale_loss(state, 1.0))


def test_scale_counts_and_steps_are_those_of_torch():
    (curve,) = curves("dynamic_loss_scale")
    settings = {k: v for k, v in curve.settings.items() if k != "learning_rate"}
    opt = gl.dynamic_loss_scale(gl.sgd(curve.settings["learning_rate"]), **settings)
    gradients = curve.gradients.copy()
    gradients[curve.extra["overflows"], 0] = np.inf
    with jax.enable_x64(True):
        updates, states = agreement.open_loop(
            opt, jnp.asarray(gradients), jnp.asarray(curve.params)
        )
    np.testing.assert_allclose(updates, curve.updates, rtol=1e-10, atol=1e-15)
    np.testing.assert_array_equal(states.scale, curve.states["scale"])
    np.testing.assert_array_equal(states.count, curve.states["count"])
    np.testing.assert_array_equal(states.skipped, np.cumsum(curve.extra["overflows"]))


def numpy_scaler(gradients, *, initial_scale, growth, backoff, interval):
    """Micikevicius et al. 2017, section 3.2, with the intervals of torch."""
    scale, steps = initial_scale, 0
    for g in gradients:
        finite = np.all(np.isfinite(g))
        yield (g / scale if finite else np.zeros_like(g)), scale
        steps = steps + 1 if finite else 0
        scale = scale if finite else scale * backoff
        if steps == interval:
            scale, steps = scale * growth, 0


def test_the_paper_in_numpy_with_factors_that_are_no_powers_of_two():
    gradients = agreement.gradient_sequence()
    gradients[[3, 4, 30], 2] = np.nan, np.inf, -np.inf
    numbers = {"initial_scale": 300.0, "growth": 1.7, "backoff": 0.3, "interval": 7}
    rows = list(numpy_scaler(gradients, **numbers))
    opt = gl.dynamic_loss_scale(gl.sgd(1.0), *numbers.values())
    with jax.enable_x64(True):
        updates, states = agreement.open_loop(opt, jnp.asarray(gradients), jnp.zeros(12))
    np.testing.assert_allclose(updates, [-u for u, _ in rows], rtol=1e-10)
    np.testing.assert_allclose(states.scale[:-1], [scale for _, scale in rows[1:]], rtol=1e-12)


@pytest.mark.parametrize("make", [gl.adam, optax.adam], ids=["gradlab", "optax"])
def test_scaled_training_is_unscaled_training_bit_for_bit(make):
    params = {"a": jnp.linspace(-1.0, 1.0, 5), "b": jnp.ones((2, 3))}

    def loss(p):
        return jnp.sum(p["a"] ** 2) + jnp.sum(jnp.sin(p["b"]))

    opt, plain = gl.dynamic_loss_scale(make(0.1), growth_interval=3), make(0.1)
    state, theirs = opt.init(params), plain.init(params)
    ours = other = params
    for _ in range(8):
        g = jax.grad(lambda p, s=state: gl.scale_loss(s, loss(p)))(ours)
        updates, state = opt.update(g, state, ours)
        ours = optax.apply_updates(ours, updates)
        updates, theirs = plain.update(jax.grad(loss)(other), theirs, other)
        other = optax.apply_updates(other, updates)
    jax.tree.map(np.testing.assert_array_equal, ours, other)
    assert scale_of(state) == 2.0**18


def test_a_step_that_overflows_leaves_everything_as_it_is():
    params = jnp.ones(3)
    opt = gl.dynamic_loss_scale(gl.adam(0.1), 8.0)
    _, before = opt.update(jnp.ones(3), opt.init(params), params)
    updates, after = opt.update(jnp.array([1.0, jnp.nan, 1.0]), before, params)
    np.testing.assert_array_equal(updates, 0)
    jax.tree.map(np.testing.assert_array_equal, before.inner_state, after.inner_state)
    assert (float(after.scale), int(after.count), int(after.skipped)) == (4.0, 0, 1)


def test_the_scale_does_not_grow_to_infinity():
    opt = gl.dynamic_loss_scale(gl.sgd(0.1), 2.0**127, growth_interval=1)
    _, state = opt.update(jnp.ones(2), opt.init(jnp.ones(2)), jnp.ones(2))
    assert float(state.scale) == 2.0**127


def test_what_clips_inside_sees_unscaled_gradients():
    params, g = jnp.zeros(2), jnp.array([0.3, 0.4])
    clipped = gl.chain(gl.clip_by_global_norm(1.0), gl.sgd(1.0))
    opt = gl.dynamic_loss_scale(clipped, 1024.0)
    updates, _ = opt.update(g * 1024, opt.init(params), params)
    np.testing.assert_allclose(updates, -g, rtol=1e-6)  # its norm is 0.5: nothing is clipped
    outside = gl.chain(gl.clip_by_global_norm(1.0), gl.dynamic_loss_scale(gl.sgd(1.0), 1024.0))
    updates, _ = outside.update(g * 1024, outside.init(params), params)
    np.testing.assert_allclose(updates, -g * 2 / 1024, rtol=1e-6)


GRADIENTS = jnp.array([[1.0, 2.0], [3.0, 4.0], [5.0, 0.0], [7.0, 8.0]])


def run(opt, overflow=()):
    params = jnp.zeros(2)
    state, found = opt.init(params), []
    for t, g in enumerate(GRADIENTS):
        scaled = gl.scale_loss(state, 1.0) * g
        scaled = scaled.at[0].set(jnp.inf) if t in overflow else scaled
        updates, state = opt.update(scaled, state, params)
        found.append(updates)
    return np.array(found), state


@pytest.mark.parametrize(
    "wrap",
    [
        lambda opt: gl.dynamic_loss_scale(gl.accumulate_gradients(opt, 2), 64.0),
        lambda opt: gl.accumulate_gradients(gl.dynamic_loss_scale(opt, 64.0), 2),
    ],
    ids=["inside", "around"],
)
def test_accumulation_composes_on_either_side(wrap):
    found, _ = run(wrap(gl.sgd(1.0)))
    np.testing.assert_allclose(found, [[0, 0], [-2, -3], [0, 0], [-6, -4]])


def test_inside_a_micro_batch_that_overflows_is_left_out():
    opt = gl.dynamic_loss_scale(gl.accumulate_gradients(gl.sgd(1.0), 2), 64.0)
    found, state = run(opt, overflow=(1,))
    np.testing.assert_allclose(found, [[0, 0], [0, 0], [-3, -1], [0, 0]])
    assert scale_of(state) == 32.0


def test_around_a_micro_batch_that_overflows_costs_the_whole_step():
    opt = gl.accumulate_gradients(gl.dynamic_loss_scale(gl.sgd(1.0), 64.0), 2)
    found, state = run(opt, overflow=(0,))
    np.testing.assert_allclose(found, [[0, 0], [0, 0], [0, 0], [-6, -4]])
    assert scale_of(state) == 32.0
    assert int(gl.tree.get(state, "skipped")) == 1


def test_float16_training_works_where_its_gradients_vanish_without_scaling():
    inputs = jnp.asarray(np.random.default_rng(0).normal(size=(32, 4)), jnp.float32)
    targets = inputs @ jnp.array([1.0, -2.0, 0.5, 3.0])

    def loss(p, inputs, targets):
        out = inputs.astype(jnp.float16) @ p.astype(jnp.float16)
        error = out.astype(jnp.float32) - targets
        return 1e-8 * jnp.mean(error**2)

    def train(opt):
        def step(carry, _):
            p, state, scales = carry

            def scaled(p):
                return scales(state) * loss(p, inputs, targets)

            updates, state = opt.update(jax.grad(scaled)(p), state, p)
            return optax.apply_updates(p, updates), state

        p = jnp.zeros(4)
        state = opt.init(p)
        scales = (lambda s: gl.scale_loss(s, 1.0)) if "scale" in repr(opt) else (lambda s: 1.0)
        jitted = jax.jit(lambda p, s: step((p, s, scales), None))
        for _ in range(60):
            p, state = jitted(p, state)
        return p, state

    still, _ = train(gl.sgd(2e7))
    assert np.max(np.abs(still)) == 0
    moved, state = train(gl.dynamic_loss_scale(gl.sgd(2e7), 2.0**60, growth_interval=1000))
    np.testing.assert_allclose(moved, [1.0, -2.0, 0.5, 3.0], atol=5e-3)
    assert int(state.skipped) > 5  # the scale had to come down first


def test_float16_gradients_are_unscaled_in_float32():
    params = jnp.ones(2, jnp.float32)
    opt = gl.dynamic_loss_scale(gl.sgd(1.0), 2.0**15)
    updates, _ = opt.update(jnp.full(2, 2.0**-5, jnp.float16), opt.init(params), params)
    np.testing.assert_array_equal(updates, -(2.0**-20))


def test_a_loss_is_scaled_by_the_one_scale_of_a_state():
    params = {"a": jnp.ones(2), "b": jnp.ones(2)}
    deep = gl.chain(
        gl.clip_by_global_norm(9.0),
        gl.partition(
            {"x": gl.dynamic_loss_scale(gl.sgd(0.1), 4.0), "y": gl.sgd(0.1)}, {"a": "x", "b": "y"}
        ),
    )
    assert scale_of(deep.init(params)) == 4.0
    with pytest.raises(ValueError, match="the state has no loss scale"):
        gl.scale_loss(gl.adam(0.1).init(params), 1.0)
    two = gl.chain(*[gl.dynamic_loss_scale(gl.sgd(0.1))] * 2)
    with pytest.raises(ValueError, match="the state has 2 loss scales"):
        gl.scale_loss(two.init(params), 1.0)


def test_bad_numbers_are_refused():
    for name, value, bound in (
        ("initial_scale", 0.0, r"\(0, inf\)"),
        ("growth_factor", 0.5, r"\[1, inf\)"),
        ("backoff_factor", 2.0, r"\(0, 1\]"),
    ):
        with pytest.raises(ValueError, match=f"{name}={value} is outside {bound}"):
            gl.dynamic_loss_scale(gl.sgd(0.1), **{name: value})
    with pytest.raises(ValueError, match="growth_interval=0"):
        gl.dynamic_loss_scale(gl.sgd(0.1), growth_interval=0)
