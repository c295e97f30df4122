"""Tuning while training: what is chosen, that it stays in range, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from gradlab import core
from gradlab.meta import online_hypergradient
from tests.meta.online import EVERYTHING, everything, light, points, square, start, step


@pytest.mark.parametrize("linear", [(), tuple(EVERYTHING)])
@pytest.mark.parametrize("size", [1e8, -1e8])
def test_however_far_the_outer_optimizer_steps_every_value_stays_in_range(linear, size):
    tuner = everything(linear=linear)
    state = tuner.init(start())
    for _ in range(3):  # there, and back from where it ended
        far = {path: x + size for path, x in state.coordinates.items()}
        inside = {one.path: one.coordinate.inside(far[one.path]) for one in tuner.choice}
        state = state._replace(coordinates=inside)
        opt, hyper = tuner.current(state)
        gl.check(opt)
        assert 0 <= hyper["weight"].min() <= hyper["weight"].max() <= 2
        assert all(np.isfinite(x).all() for x in tuner.values(state).values())
        size = -size


@pytest.mark.parametrize("linear", [(), ("learning_rate", "momentum", "hyper/weight")])
def test_a_step_that_is_far_too_long_ends_within_the_ranges(linear):
    for sign in (1e30, -1e30):
        tuner = light(outer=gl.scale(sign), linear=linear)
        state, report = step(tuner, tuner.init(start()), *points())
        assert all(np.all(x != 0) for x in report.gradient.values())
        opt, hyper = tuner.current(state)
        gl.check(opt)
        assert 0 <= hyper["weight"].min() <= hyper["weight"].max() <= 2
        moved = np.abs(hyper["weight"] - light().hyper["weight"])
        assert moved.min() > 0.4  # to one end or the other


@pytest.mark.parametrize(
    "text", ["[0, 1)", "(0, 1]", "(0, inf)", "[4, inf)", "(-1, 1)", "[0, inf]"]
)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
@pytest.mark.parametrize("linear", [False, True])
def test_rounding_never_lands_outside(text, dtype, linear):
    interval = core.Interval.parse(text)
    coordinate = gl.meta.Coordinate(interval, linear)
    everywhere = coordinate.inside(jnp.linspace(-300, 300, 2001, dtype=jnp.float32))
    value = jax.vmap(jax.value_and_grad(lambda u: coordinate.value(u, jnp.float32)))
    values, slopes = value(everywhere)
    assert np.isfinite(slopes).all()
    assert np.all(slopes > 0)  # so that every end can be left again
    narrow = coordinate.value(everywhere, dtype)
    assert narrow.dtype == dtype
    for found in (np.asarray(x, np.float64) for x in (values, narrow)):
        assert interval.contains(found)
        assert np.isfinite(found).all()
        assert np.all(found[1:] >= found[:-1])


def test_a_function_of_path_and_value_chooses():
    tuner = everything(tuned=lambda path, x: path.endswith("b1") or np.ndim(x) == 1)
    assert [one.path for one in tuner.choice] == ["transforms['w'].b1", "hyper/weight"]
    kinds = {one.path: one.coordinate.kind for one in everything().choice}
    assert kinds["transforms['b'].learning_rate"] == "log"
    assert kinds["transforms['w'].b2"] == "logit"
    assert kinds["hyper/weight"] == "logit"


def test_data_in_the_hyperparameters_of_a_loss_brings_its_ranges():
    tuner = online_hypergradient(
        gl.sgd(0.1), square, square, gl.sgd(0.1),
        tuned="hyper/*", hyper={"penalty": gl.adam(0.1), "free": np.ones(2)},
        linear="eps_root",
    )  # fmt: skip
    kinds = {one.path: one.coordinate.kind for one in tuner.choice}
    assert kinds["hyper/penalty/b1"] == "logit"
    assert kinds["hyper/free"] == "linear"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tuned": "learning_rat"}, r"tuned: the pattern 'learning_rat' matches no.*learning_rate"),
        ({"tuned": lambda path, x: False}, "tuned: the function .* matches no"),
        ({"tuned": ()}, "tuned=\\(\\) names no hyperparameter"),
        ({"ranges": {"hyper/wait": "(0, 1)"}}, "ranges: the pattern 'hyper/wait' matches no"),
        ({"ranges": {"hyper/weight": "[0, 1]"}}, r"hyper/weight=.* is outside \[0, 1\]"),
        ({"ranges": {"hyper/weight": "0, 1"}}, "interval '0, 1'"),
        ({"linear": "eps"}, "linear: the pattern 'eps' matches no hyperparameter"),
        ({"tuned": "transforms['w'].eps_root"}, r"eps_root'?=0.0 is an end of \[0, inf\).*linear="),
        ({"hyper": {"weight": np.array([1.0, np.nan])}}, "hyper/weight=.* is outside"),
        ({"horizon": 0}, "online_hypergradient: horizon: .* at least 1"),
    ],
)
def test_bad_input_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        everything(**changes)


def test_a_whole_number_cannot_be_tuned():
    with pytest.raises(TypeError, match=r"hyper/weight is .* no floating number"):
        everything(hyper={"weight": np.arange(6)})


def test_batches_without_an_axis_of_steps_are_named():
    tuner = light()
    with pytest.raises(ValueError, match="unroll: batches"):
        tuner.step(tuner.init(start()), jnp.float32(1.0), points()[1])
    with pytest.raises(ValueError, match="truncation=9 is more than the 4 steps"):
        light(horizon=9).step(tuner.init(start()), *points())
