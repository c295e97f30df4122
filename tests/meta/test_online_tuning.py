"""Tuning while training: where it leads, whatever is tuned and whichever optimizer tunes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from gradlab.meta import online_hypergradient
from gradlab.testing._subject import compiled_once
from tests.meta.online import knots, one_step, square, walks
from tests.paper.hypergradient_descent import hypergradient_descent


def test_a_quadratics_best_rate_is_found():
    tuner = online_hypergradient(
        gl.sgd(0.04), lambda x, _: 4 * x**2, lambda x, _: 4 * x**2, gl.sign_sgd(0.025),
        tuned="learning_rate",
    )  # fmt: skip
    state, report = compiled_once(tuner.run)(
        tuner.init(jnp.array(1e3)), jnp.zeros((120, 1)), jnp.zeros(120)
    )
    assert tuner.values(state)["learning_rate"] == pytest.approx(1 / 8, rel=0.03)
    assert report.validation_loss[-1] < 1e-20


@pytest.mark.parametrize(("noise", "best"), [(0.0, 1.0), (1.0, (5**0.5 - 1) / 2)])
def test_a_learning_rate_that_tracks_a_walk_becomes_the_kalman_gain(noise, best):
    # The gain at which successive errors are uncorrelated; one over the golden ratio.
    tuner = online_hypergradient(gl.sgd(0.1), square, square, gl.adam(0.01), tuned="learning_rate")
    seen = walks(300, 600, noise)
    state, _ = compiled_once(tuner.run)(tuner.init(seen[0]), *one_step(seen))
    assert tuner.values(state)["learning_rate"] == pytest.approx(best, rel=0.04)


def test_one_step_in_the_value_itself_is_hypergradient_descent():
    draw = np.random.default_rng(0)
    batches, scale = draw.normal(size=(61, 5)), np.linspace(0.5, 2.0, 5)
    expected = list(
        hypergradient_descent(
            lambda x, b: scale * np.tanh(x - b),
            np.ones(5),
            batches,
            learning_rate=0.05,
            hypergradient_rate=0.01,
        )
    )
    with jax.enable_x64(True):

        def loss(x, b):
            return jnp.sum(scale * jnp.log(jnp.cosh(x - b)))

        tuner = online_hypergradient(
            gl.sgd(0.05), loss, loss, gl.sgd(0.01), tuned="learning_rate", linear="learning_rate"
        )
        state, step = tuner.init(jnp.ones(5)), compiled_once(tuner.step)
        for t in range(60):
            state, report = step(state, batches[t, None], batches[t + 1])
            # Ours has seen the next gradient when the paper has not yet.
            np.testing.assert_allclose(state.params, expected[t][0], rtol=1e-10)
            rate = tuner.values(state)["learning_rate"]
            np.testing.assert_allclose(rate, expected[t + 1][1], rtol=1e-10)
            assert report.gradient["learning_rate"] < 0 or t > 3


def regression(examples=64, wrong=16, seed=0):
    """Linear data of which some have the wrong sign, and clean ones to validate on."""
    draw = np.random.default_rng(seed)
    slope, x = draw.normal(size=4), draw.normal(size=(2 * examples, 4))
    y = x @ slope + 0.1 * draw.normal(size=2 * examples)
    y[:wrong] *= -1
    return jax.tree.map(jnp.float32, ((x[:examples], y[:examples]), (x[examples:], y[examples:])))


def test_weights_of_wrong_examples_fall_and_the_validation_loss_with_them():
    (x, y), held_out = regression()

    def loss(slope, _, weights):
        return jnp.sum(weights * (x @ slope - y) ** 2) / jnp.sum(weights)

    def validation_loss(slope, batch, weights):
        del weights
        return jnp.mean((batch[0] @ slope - batch[1]) ** 2)

    tuner = online_hypergradient(
        gl.sgd(0.05), loss, validation_loss, gl.adam(0.05), tuned="hyper",
        hyper=np.ones(64, np.float32), ranges={"hyper": "(0, inf)"},
    )  # fmt: skip
    clean = jax.tree.map(lambda a: jnp.stack([a] * 150), held_out)
    state, report = compiled_once(tuner.run)(tuner.init(jnp.zeros(4)), jnp.zeros((150, 5)), clean)
    weights = np.asarray(tuner.values(state)["hyper"])
    assert np.median(weights[:16]) < 0.3 * np.median(weights[16:])
    assert np.mean(weights[:16] < 0.6) > 0.8  # all but those near zero, whose sign tells nothing
    still = tuner.with_values(outer=gl.sgd(0.0))
    _, untuned = compiled_once(still.run)(still.init(jnp.zeros(4)), jnp.zeros((150, 5)), clean)
    assert report.validation_loss[-1] < 0.1 * untuned.validation_loss[-1]


def test_an_augmentation_and_a_penalty_that_mislead_are_turned_down():
    (x, y), held_out = regression(wrong=0)

    def loss(slope, noise, hyper):
        seen = x + hyper["strength"] * noise
        return jnp.mean((seen @ slope - y) ** 2) + hyper["penalty"] * jnp.sum(slope**2)

    def validation_loss(slope, batch, hyper):
        del hyper
        return jnp.mean((batch[0] @ slope - batch[1]) ** 2)

    start = {"strength": 0.5, "penalty": 0.5}
    tuner = online_hypergradient(
        gl.sgd(0.1), loss, validation_loss, gl.adam(0.1),
        tuned="hyper/*", hyper=start, ranges={"hyper/*": "(0, inf)"},
    )  # fmt: skip
    noise = np.random.default_rng(1).normal(size=(100, 5, 64, 4)).astype(np.float32)
    clean = jax.tree.map(lambda a: jnp.stack([a] * 100), held_out)
    state, report = compiled_once(tuner.run)(tuner.init(jnp.zeros(4)), jnp.asarray(noise), clean)
    for path, value in tuner.values(state).items():
        assert 0 < value < 0.2 * start[path.removeprefix("hyper/")]
    assert report.validation_loss[-1] < 0.3 * report.validation_loss[5]


@pytest.mark.parametrize(
    "outer",
    [
        gl.adamw(0.1, weight_decay=0.0),
        optax.adam(0.1),
        gl.chain(gl.clip_by_global_norm(1.0), gl.sgd(knots(3.0))),
        gl.average_iterates(gl.lion(0.1), 0.9),
        gl.apply_if_finite(gl.adam(0.1), 3),
    ],
    ids=["adamw", "optax", "chain", "wrapper", "guard"],
)
def test_any_optimizer_tunes(outer):
    tuner = online_hypergradient(gl.sgd(0.02), square, square, outer, tuned="learning_rate")
    seen = walks(4, 31, 0.0)
    state, report = compiled_once(tuner.run)(tuner.init(seen[0]), *one_step(seen))
    assert tuner.values(state)["learning_rate"] > 0.05
    assert np.isfinite(report.validation_loss).all()


def test_an_outer_optimizer_sees_value_and_function():
    seen = {}

    def update(updates, state, params=None, **extra):
        seen.update(extra)
        seen["again"] = extra["value_fn"](params)
        return updates, state

    outer = optax.GradientTransformationExtraArgs(lambda _: optax.EmptyState(), update)
    tuner = online_hypergradient(gl.sgd(0.1), square, square, outer, tuned="learning_rate")
    _, report = tuner.step(tuner.init(jnp.ones(2)), jnp.zeros((3, 2)), jnp.zeros(2))
    assert seen["again"] == pytest.approx(float(report.validation_loss))
    assert seen["value"] is report.validation_loss
    assert seen["grad"] is report.gradient
