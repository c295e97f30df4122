"""Iterative magnitude pruning: the paper, exact rewinding, and the ticket that trains alone."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from tests import agreement


@pytest.mark.parametrize("rewind", [0, 3])
def test_paper(rewind):
    settings = {"steps": 9, "rounds": 4, "fraction": 0.3, "rewind": rewind}
    agreement.assert_matches_paper(
        gl.iterative_magnitude_pruning(gl.sgd(0.03, 0.9), **settings),
        "iterative_magnitude_pruning",
        shape=(5, 4),
        learning_rate=0.03,
        momentum=0.9,
        **settings,
    )


def train(opt, params, gradients, state=None):
    state, found = opt.init(params) if state is None else state, []
    step = jax.jit(opt.update)
    for g in gradients:
        updates, state = step(g, state, params)
        params = optax.apply_updates(params, updates)
        found.append(params)
    return found, state


def gradients(steps, shape=(6, 4)):
    return jnp.asarray(agreement.gradient_sequence(shape)[:steps], jnp.float32)


def test_the_ticket_trains_alone_as_it_does_inside():
    inner, w = gl.adam(0.05), jnp.asarray(agreement.start((6, 4)), jnp.float32)
    opt = gl.iterative_magnitude_pruning(inner, steps=5, rounds=1, fraction=0.5, rewind=2)
    found, state = train(opt, w, gradients(12))
    early, inner_state = train(inner, w, gradients(12)[:2])
    kept = state.kept
    np.testing.assert_allclose(found[4], early[-1] * kept, rtol=1e-5, atol=1e-6)
    masked, _ = train(inner, early[-1] * kept, gradients(12)[5:] * kept, inner_state)
    np.testing.assert_allclose(found[-1], masked[-1] * kept, rtol=1e-4, atol=1e-5)


def test_each_round_prunes_the_fraction_of_what_is_left():
    opt = gl.iterative_magnitude_pruning(gl.sgd(0.01), steps=2, rounds=3, fraction=0.5)
    w = jnp.asarray(agreement.start((8, 8)), jnp.float32)
    left = []
    state = opt.init(w)
    for g in gradients(10, (8, 8)):
        updates, state = opt.update(g, state, w)
        w = w + updates
        left.append(int(jnp.sum(w != 0)))
        np.testing.assert_array_equal(w != 0, state.kept)
    assert left == [64, 32, 32, 16, 16, 8, 8, 8, 8, 8]


def test_pruning_is_by_all_arrays_together_and_all_arrays_go_back():
    params = {"small": jnp.full((2, 2), 0.1), "large": jnp.full((2, 2), 5.0), "b": jnp.ones(2)}
    opt = gl.iterative_magnitude_pruning(gl.sgd(0.01), steps=3, rounds=1, fraction=0.5)
    found, state = train(opt, params, [jax.tree.map(jnp.ones_like, params)] * 3)
    assert not state.kept["small"].any()
    assert state.kept["large"].all()
    np.testing.assert_allclose(found[1]["b"], 0.98)
    np.testing.assert_allclose(found[2]["b"], 1.0)
    np.testing.assert_array_equal(found[2]["small"], 0)


def test_a_schedule_goes_back_with_the_weights():
    inner = gl.sgd(gl.linear_schedule(1.0, 0.0, 10))
    opt = gl.iterative_magnitude_pruning(inner, steps=4, rounds=1, rewind=1)
    w = jnp.ones((1, 5))
    _, state = train(opt, w, [jnp.zeros((1, 5))] * 4)
    assert gl.current(opt, state)["inner.learning_rate"] == pytest.approx(0.9)
    assert int(state.count) == 1


def test_no_round_is_the_inner_optimizer():
    inner = gl.adam(0.05)
    opt = gl.iterative_magnitude_pruning(inner, steps=3, rounds=0)
    agreement.assert_same_numbers(opt, inner)


def test_memory_is_not_shared():
    w = jnp.ones((2, 2))
    state = gl.iterative_magnitude_pruning(gl.sgd(0.1, 0.9), 3, 1).init(w)
    pointers = [x.unsafe_buffer_pointer() for x in jax.tree.leaves((w, state))]
    assert len(set(pointers)) == len(pointers)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="rewind=3 is not before steps=3"):
        gl.iterative_magnitude_pruning(gl.sgd(0.1), 3, 1, rewind=3)
    with pytest.raises(ValueError, match=r"fraction=1.0 is outside \[0, 1\)"):
        gl.iterative_magnitude_pruning(gl.sgd(0.1), 3, 1, 1.0)
    opt = gl.iterative_magnitude_pruning(gl.sgd(0.1), 3, 1)
    with pytest.raises(ValueError, match="update needs the parameters"):
        opt.update(jnp.ones((2, 2)), opt.init(jnp.ones((2, 2))))
