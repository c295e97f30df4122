"""Tuning while training: where it leads, that it stays in range, and what it is made of."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from gradlab import core
from gradlab.meta import online_hypergradient
from gradlab.testing._subject import compiled_once
from tests.paper.hypergradient_descent import hypergradient_descent


def square(x, target):
    return jnp.sum((x - target) ** 2) / 2


def walks(walkers, steps, noise, seed=0):
    """Noisy sights of targets that walk at random by steps of one."""
    draw = np.random.default_rng(seed)
    places = np.cumsum(draw.normal(size=(steps, walkers)), 0)
    return jnp.asarray(places + noise * draw.normal(size=(steps, walkers)), jnp.float32)


def one_step(batches):
    """Batches for one inner step at a time, each validated on the next."""
    return batches[:-1, None], batches[1:]


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


def curved(params, batch, hyper=1.0):
    """A smooth loss of two groups of parameters, weighted by `hyper`."""
    out = jnp.tanh(batch @ params["w"]) + params["b"]
    weight = hyper["weight"] if isinstance(hyper, dict) else hyper
    return jnp.mean(weight * (out - jnp.sin(jnp.sum(batch, -1))) ** 2)


def plain(params, batch, hyper=None):
    del hyper
    return curved(params, batch)


def knots(scale):
    return gl.piecewise_interpolate_schedule("linear", 0.1, {2: scale, 5: 0.5})


def grouped():
    """Groups with rates of their own, one of them scheduled."""
    transforms = {"w": gl.adamw(knots(2.0), weight_decay=0.01), "b": gl.sgd(0.05)}
    return gl.partition(transforms, {"w": "w", "b": "b"})


START = {"w": np.array([0.3, -0.2, 0.1]), "b": np.array(0.1)}
POINTS = np.random.default_rng(1).normal(size=(5, 6, 3))
"""Four inner steps and a validation of six points each."""

EVERYTHING = (
    "transforms['b'].learning_rate",
    "transforms['w'].learning_rate.init_value",
    "transforms['w'].learning_rate.scales[*]",
    "transforms['w'].b?",
    "weight_decay",
    "hyper/*",
)


def everything(outer=None, **changes):
    """Tunes rates of groups, knots, betas, decay, and weights of examples."""
    arguments = {
        "tuned": EVERYTHING,
        "hyper": {"weight": np.linspace(0.5, 1.5, 6)},
        "ranges": {"*init_value": "(0, inf)", "hyper/weight": "[0, 2]"},
        **changes,
    }
    return online_hypergradient(grouped(), curved, plain, outer or gl.sgd(0.1), **arguments)


def light(outer=None, **changes):
    """Tunes a rate, a momentum and weights of examples: few programs to compile."""
    arguments = {
        "tuned": ("learning_rate", "momentum", "hyper/weight"),
        "hyper": {"weight": np.linspace(0.5, 1.5, 6)},
        "ranges": {"hyper/weight": "[0, 2]"},
        **changes,
    }
    opt = gl.sgd(0.1, momentum=0.5)
    return online_hypergradient(opt, curved, plain, outer or gl.sgd(0.1), **arguments)


def start(dtype=jnp.float32):
    return jax.tree.map(lambda x: jnp.asarray(x, dtype), START)


def points(dtype=jnp.float32):
    data = jnp.asarray(POINTS, dtype)
    return data[:4], data[4]


@pytest.fixture(scope="module")
def step():
    return compiled_once(lambda tuner, *arguments: tuner.step(*arguments))


@pytest.fixture(scope="module")
def validated():
    """The validation loss as a plain loop of optimizer steps, compiled in float64."""

    def value(leaves):
        tuner = everything()
        opt, hyper = jax.tree.unflatten(jax.tree.structure((tuner.opt, tuner.hyper)), leaves)
        batches, last = points(jnp.float64)

        def one(carry, batch):
            params, state = carry
            updates, state = opt.update(jax.grad(curved)(params, batch, hyper), state, params)
            return (optax.apply_updates(params, updates), state), None

        params = start(jnp.float64)
        return plain(jax.lax.scan(one, (params, opt.init(params)), batches)[0][0], last)

    return value


def test_the_hypergradient_is_that_of_finite_differences(validated):
    with jax.enable_x64(True):
        tuner = everything()
        state = tuner.init(start(jnp.float64))
        _, report = compiled_once(tuner.step)(state, *points(jnp.float64))
        leaves = [jnp.asarray(x, jnp.float64) for x in jax.tree.leaves((tuner.opt, tuner.hyper))]
        names = [*gl.hyperparameters(tuner.opt), "hyper/weight"]
        rows, signs = [], {}
        for one in tuner.choice:
            place = names.index(one.path)
            base = one.coordinate.of(leaves[place])
            for index in np.ndindex(base.shape):
                for sign in (1e-5, -1e-5):
                    signs[(one.path, index, sign > 0)] = len(rows)
                    moved = one.coordinate.value(base.at[index].add(sign), jnp.float64)
                    rows.append([*leaves[:place], moved, *leaves[place + 1 :]])
        stacked = jax.tree.map(lambda *x: jnp.stack(x), *rows)
        values = compiled_once(jax.vmap(validated))(stacked)
        assert float(report.validation_loss) == pytest.approx(float(validated(leaves)), rel=1e-12)
        assert len(signs) == 2 * (1 + 1 + 2 + 2 + 1 + 6)
        for path, index in {row[:2] for row in signs}:
            high, low = (values[signs[(path, index, which)]] for which in (True, False))
            found = report.gradient[path][index]
            expected = float(high - low) / 2e-5
            assert float(found) == pytest.approx(expected, rel=2e-5, abs=1e-10), (path, index)
            assert expected != 0


def test_a_horizon_leaves_out_the_steps_before_it(step):
    with jax.enable_x64(True):
        (batches, last), whole = points(jnp.float64), light()
        begin = whole.init(start(jnp.float64))
        _, full = step(whole, begin, batches, last)
        _, report = step(light(horizon=1), begin, batches, last)
        # Three steps without tuning, then one whose derivative is taken.
        state, _ = step(whole, begin, batches[:3], last)
        _, expected = step(whole, state._replace(coordinates=begin.coordinates), batches[3:], last)
        for path, value in report.gradient.items():
            np.testing.assert_allclose(value, expected.gradient[path], rtol=1e-9, atol=1e-15)
            assert not np.allclose(full.gradient[path], value, rtol=1e-3)


def test_memory_can_be_saved_without_another_gradient(step):
    begin = light().init(start())
    _, report = step(light(), begin, *points())
    _, saving = step(light(memory="steps"), begin, *points())
    for path, value in report.gradient.items():
        np.testing.assert_allclose(saving.gradient[path], value, rtol=1e-5, atol=1e-8)


def test_what_is_not_tuned_stays_and_what_is_moves(step):
    tuner = everything(outer=gl.sign_sgd(0.1))
    state, _ = step(tuner, tuner.init(start()), *points())
    opt, hyper = tuner.current(state)
    moved = {
        path: not np.allclose(value, before, rtol=1e-5)
        for (path, value), before in zip(
            gl.hyperparameters(opt).items(), gl.hyperparameters(tuner.opt).values(), strict=True
        )
    }
    assert {path for path, yes in moved.items() if yes} == set(tuner.values(state)) - {
        "hyper/weight"
    }
    assert not np.allclose(hyper["weight"], tuner.hyper["weight"], rtol=1e-5)
    assert jax.tree.structure(opt) == jax.tree.structure(tuner.opt)


def test_without_an_outer_step_it_is_the_training_itself(step):
    tuner = light(outer=gl.sgd(0.0))
    state, report = step(tuner, tuner.init(start()), *points())
    run = gl.meta.unroll(
        gl.as_arrays(tuner.opt), lambda p, b: curved(p, b, tuner.hyper), start(), points()[0]
    )
    for x, y in zip(jax.tree.leaves(state.params), jax.tree.leaves(run.params), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5)
    np.testing.assert_allclose(report.losses, run.losses, rtol=1e-5)


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
def test_a_step_that_is_far_too_long_ends_within_the_ranges(step, linear):
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


def test_other_values_of_everything_share_one_trace():
    traces = 0

    @compiled_once
    def counted(tuner, state):
        nonlocal traces
        traces += 1
        return tuner.step(state, *points())

    tuner = light()
    state = tuner.init(start())
    for factor in (1.0, 0.5):
        changed = jax.tree.map(lambda x, factor=factor: x * factor, tuner)
        state, _ = counted(changed, state)
    assert traces == 1


def test_seeds_and_starts_are_an_array_axis(step):
    tuner, (batches, last) = light(outer=gl.adam(0.1)), points()
    params = [jax.tree.map(lambda x, k=k: x + 0.1 * k, start()) for k in range(3)]
    data = jnp.stack([batches, -batches, batches[::-1]])
    one_by_one = core.stack(
        [step(tuner, tuner.init(p), xs, last)[0] for p, xs in zip(params, data, strict=True)]
    )

    def one(p, xs):
        return tuner.step(tuner.init(p), xs, last)[0]

    at_once = compiled_once(jax.vmap(one))(core.stack(params), data)
    for x, y in zip(jax.tree.leaves(one_by_one), jax.tree.leaves(at_once), strict=True):
        np.testing.assert_allclose(x, y, rtol=2e-5, atol=1e-7)


def test_a_run_is_its_steps_and_a_scan(step):
    tuner, (batches, last) = light(outer=gl.adam(0.1)), points()
    several = jnp.stack([batches, -batches]), jnp.stack([last, -last])
    state, report = compiled_once(lambda t, s: t.run(s, *several))(tuner, tuner.init(start()))
    expected = tuner.init(start())
    for xs, value in zip(zip(*several, strict=True), report.validation_loss, strict=True):
        expected, one = step(tuner, expected, *xs)
        np.testing.assert_allclose(value, one.validation_loss, rtol=1e-5)
    for x, y in zip(jax.tree.leaves(state), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6)
    assert report.losses.shape == (2, 4)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize("wide", [False, True])
def test_dtypes_do_not_change(dtype, wide):
    with jax.enable_x64(wide):
        tuner = light(outer=gl.adam(0.1), hyper={"weight": jnp.ones(6, dtype)})
        state = jax.eval_shape(tuner.init, start(dtype))
        after, _ = jax.eval_shape(tuner.step, state, *points(dtype))
        assert jax.tree.map(lambda x: x.dtype, after) == jax.tree.map(lambda x: x.dtype, state)
        assert state.coordinates["hyper/weight"].dtype == jnp.float32
        assert jax.eval_shape(tuner.current, state)[1]["weight"].dtype == dtype


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


def test_a_restart_keeps_what_was_found_and_forgets_the_training(step):
    tuner = light(outer=gl.adam(0.1))
    first, _ = step(tuner, tuner.init(start()), *points())
    again = tuner.restart(first, start())
    assert again.coordinates is first.coordinates
    assert again.outer_state is first.outer_state
    fresh = tuner.init(start())
    for x, y in zip(
        jax.tree.leaves((again.params, again.opt_state)),
        jax.tree.leaves((fresh.params, fresh.opt_state)),
        strict=True,
    ):
        assert np.array_equal(x, y)


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


def test_it_is_data():
    assert everything() == everything()
    assert hash(everything(hyper=None, tuned="b1", ranges=None)) == hash(
        everything(hyper=None, tuned="b1", ranges=None)
    )
    assert gl.hyperparameters(everything())["outer.learning_rate"] == 0.1
