"""Lookahead: the paper, optax's pairs, slow weights in the state, and when it is nothing."""

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
        gl.lookahead(gl.sgd(0.1), 4, 0.3),
        "lookahead",
        learning_rate=0.1,
        sync_period=4,
        slow_step_size=0.3,
    )


@pytest.mark.parametrize("curve", curves("lookahead"), ids=lambda c: c.name)
def test_other_packages(curve):
    settings = dict(curve.settings)
    fast = gl.sgd(settings.pop("learning_rate"), momentum=settings.pop("momentum"))
    agreement.assert_matches_reference(gl.lookahead(fast, **settings), curve)


@pytest.mark.parametrize("reset_state", [False, True])
def test_pairs_are_moved_as_optax_moves_them(reset_state):
    params = agreement.parameter_tree()
    gradients = jax.tree.map(
        lambda p: jnp.asarray(agreement.gradient_sequence(p.shape, 40), jnp.float32), params
    )

    def run(opt):
        pair = optax.LookaheadParams(params, jax.tree.map(lambda p: p + 1, params))

        def step(carry, g):
            pair, state = carry
            updates, state = opt.update(g, state, pair)
            return (optax.apply_updates(pair, updates), state), (updates, state)

        return jax.jit(lambda c: jax.lax.scan(step, c, gradients)[1])((pair, opt.init(pair)))

    mine = run(gl.lookahead(gl.adam(0.1), 3, 0.4, reset_state=reset_state))
    other = run(optax.lookahead(optax.adam(0.1), 3, 0.4, reset_state=reset_state))
    assert jax.tree.structure(mine) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(other), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.max(np.abs(b)))


def closed_loop(opt, params, steps=7):
    """Fast and slow weights after every step on a quadratic."""
    state, rows = opt.init(params), []
    for _ in range(steps):
        pair = isinstance(params, gl.LookaheadParams)
        updates, state = opt.update(params.fast if pair else params, state, params)
        params = optax.apply_updates(params, updates)
        rows.append((params.fast if pair else params, gl.eval_params(opt, state, params)))
    return rows, state


def test_slow_weights_in_the_state_are_those_of_a_pair():
    opt, start = gl.lookahead(gl.adam(0.2), 3, 0.5), jnp.array([3.0, -1.0])
    plain, _ = closed_loop(opt, start)
    pairs, _ = closed_loop(opt, gl.LookaheadParams.init_synced(start))
    np.testing.assert_allclose(plain, pairs, rtol=1e-6)


def test_both_are_equal_to_the_bit_after_each_period_and_differ_in_between():
    rows, _ = closed_loop(gl.lookahead(gl.adam(0.2), 3, 0.3), jnp.array([3.1, -1.7]))
    for t, (fast, slow) in enumerate(rows, 1):
        assert np.array_equal(fast, slow) == (t % 3 == 0), t


def test_when_everything_is_kept_it_is_the_fast_optimizer_to_the_bit():
    start, inner = jnp.array([3.1, -1.7]), gl.adamw(0.2)
    for period in (1, 3):
        ours, state = closed_loop(gl.lookahead(inner, period, 1.0), start)
        params, inner_state = start, inner.init(start)
        for fast, _ in ours:
            updates, inner_state = inner.update(params, inner_state, params)
            params = params + updates
            np.testing.assert_array_equal(fast, params)
        jax.tree.map(np.testing.assert_array_equal, state.fast_state, inner_state)


def test_when_nothing_is_kept_the_slow_weights_stay():
    rows, _ = closed_loop(gl.lookahead(gl.sgd(0.2), 2, 0.0), jnp.array([3.0, -1.0]))
    for t, (fast, slow) in enumerate(rows, 1):
        np.testing.assert_array_equal(slow, [3.0, -1.0])
        assert t % 2 or np.allclose(fast, slow)


def test_a_state_that_starts_anew_knows_nothing_of_the_steps_before():
    opt = gl.lookahead(gl.average_iterates(gl.adam(0.2), 0.9), 3, 0.5, reset_state=True)
    params = jnp.array([3.0, -1.0])
    rows, state = closed_loop(opt, params, 6)
    assert int(optax.tree.get_all_with_path(state, "count")[0][1]) == 0
    np.testing.assert_array_equal(state.fast_state.average, rows[-1][0])
    _, kept = closed_loop(gl.lookahead(gl.adam(0.2), 3, 0.5), params, 6)
    assert int(optax.tree.get(kept, "count")) == 6


def test_slow_weights_are_found_however_deep_and_kept_in_float32():
    opt = gl.chain(gl.clip_by_global_norm(9.0), gl.lookahead(gl.sgd(0.25), 2, 0.5))
    params = {"w": jnp.full(2, 4.0, jnp.bfloat16)}
    state = opt.init(params)
    assert state[1].slow["w"].dtype == jnp.float32
    updates, state = opt.update(params, state, params)
    found = gl.eval_params(opt, state, optax.apply_updates(params, updates))["w"]
    assert found.dtype == jnp.bfloat16
    np.testing.assert_array_equal(found.astype(jnp.float32), 4.0)


def test_bad_input_names_argument_value_and_bound():
    with pytest.raises(ValueError, match=r"slow_step_size=1\.5 is outside \[0, 1\]"):
        gl.lookahead(gl.sgd(0.1), 5, 1.5)
    with pytest.raises(ValueError, match=r"sync_period=0: expected an integer of at least 1"):
        gl.lookahead(gl.sgd(0.1), 0, 0.5)
    with pytest.raises(TypeError, match="lookahead: expected a gradient transformation"):
        gl.lookahead(gl.sgd, 5, 0.5)
    opt, x = gl.lookahead(gl.sgd(0.1), 5, 0.5), jnp.ones(2)
    with pytest.raises(ValueError, match="lookahead: update needs the parameters"):
        opt.update(x, opt.init(x))
    pair = gl.LookaheadParams.init_synced(x)
    with pytest.raises(ValueError, match="made for plain parameters, update is given a pair"):
        opt.update(x, opt.init(x), pair)
    with pytest.raises(ValueError, match="made for a pair, update is given plain parameters"):
        opt.update(x, opt.init(pair), x)
