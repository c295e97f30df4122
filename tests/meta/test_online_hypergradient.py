"""A step of tuning while training: its gradient, what it costs, and that it is data."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from gradlab import core
from gradlab.testing._subject import compiled_once
from tests.meta.online import curved, everything, light, plain, points, start, step


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


def test_a_horizon_leaves_out_the_steps_before_it():
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


def test_memory_can_be_saved_without_another_gradient():
    begin = light().init(start())
    _, report = step(light(), begin, *points())
    _, saving = step(light(memory="steps"), begin, *points())
    for path, value in report.gradient.items():
        np.testing.assert_allclose(saving.gradient[path], value, rtol=1e-5, atol=1e-8)


def test_what_is_not_tuned_stays_and_what_is_moves():
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


def test_without_an_outer_step_it_is_the_training_itself():
    tuner = light(outer=gl.sgd(0.0))
    state, report = step(tuner, tuner.init(start()), *points())
    run = gl.meta.unroll(
        gl.as_arrays(tuner.opt), lambda p, b: curved(p, b, tuner.hyper), start(), points()[0]
    )
    for x, y in zip(jax.tree.leaves(state.params), jax.tree.leaves(run.params), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5)
    np.testing.assert_allclose(report.losses, run.losses, rtol=1e-5)


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


def test_seeds_and_starts_are_an_array_axis():
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


def test_a_run_is_its_steps_and_a_scan():
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


def test_a_restart_keeps_what_was_found_and_forgets_the_training():
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


def test_it_is_data():
    assert everything() == everything()
    assert hash(everything(hyper=None, tuned="b1", ranges=None)) == hash(
        everything(hyper=None, tuned="b1", ranges=None)
    )
    assert gl.hyperparameters(everything())["outer.learning_rate"] == 0.1
