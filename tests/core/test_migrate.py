"""A state survives the changes that people make to an optimizer in the middle of a run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl

PARAMS = {"w": jnp.arange(3.0), "b": jnp.ones(2)}
GRADS = {"w": jnp.array([1.0, -2.0, 0.5]), "b": jnp.array([0.1, 0.2])}


def trained(opt, steps=4):
    state = opt.init(PARAMS)
    for _ in range(steps):
        _, state = opt.update(GRADS, state, PARAMS)
    return state


def same(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def as_dicts(state):
    """What a checkpoint gives back that is restored without a template."""
    if isinstance(state, tuple) and hasattr(state, "_fields"):
        return {name: as_dicts(getattr(state, name)) for name in state._fields}
    if isinstance(state, tuple | list):
        return {str(i): as_dicts(x) for i, x in enumerate(state)}
    if isinstance(state, dict):
        return {str(k): as_dicts(x) for k, x in state.items()}
    return np.asarray(state)


RATE = gl.linear_schedule(0.1, 0.0, 100)
CHANGES = {
    "nothing": (gl.adamw(0.1), gl.adamw(0.1)),
    "an added clip": (gl.adamw(0.1), gl.chain(gl.clip_by_global_norm(1.0), gl.adamw(0.1))),
    "a clip less": (gl.chain(gl.clip_by_global_norm(1.0), gl.adamw(0.1)), gl.adamw(0.1)),
    "another order": (
        gl.chain(gl.add_noise(0.1, 0.5, 3), gl.sgd(0.1, 0.9)),
        gl.chain(gl.sgd(0.1, 0.9), gl.add_noise(0.1, 0.5, 3)),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("restored", [False, True], ids=["typed", "from dicts"])
def test_arrays_move_with_the_part_that_they_belong_to(change, restored):
    before, after = CHANGES[change]
    state = trained(before)
    given = as_dicts(state) if restored else state
    moved = gl.migrate_state(after, PARAMS, given)
    assert jax.tree.structure(moved) == jax.tree.structure(after.init(PARAMS))
    for name in ("mu", "nu", "trace", "count", "rng_key"):
        old = gl.tree.get_all_with_path(state, name)
        new = gl.tree.get_all_with_path(moved, name)
        assert len(old) == len(new)
        for (_, a), (_, b) in zip(old, new, strict=True):
            jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_constant_that_became_a_schedule_continues_at_the_present_step():
    constant, scheduled = gl.adamw(0.1), gl.adamw(RATE)
    moved = gl.migrate_state(scheduled, PARAMS, trained(constant))
    same(moved, trained(scheduled))


def test_a_schedule_that_became_a_constant_loses_nothing_but_its_count():
    same(gl.migrate_state(gl.adamw(0.1), PARAMS, trained(gl.adamw(RATE))), trained(gl.adamw(0.1)))


def test_the_state_of_optax_is_taken_over():
    import optax

    theirs = optax.adamw(0.1)
    state = theirs.init(PARAMS)
    for _ in range(4):
        _, state = theirs.update(GRADS, state, PARAMS)
    moved = gl.migrate_state(gl.chain(gl.clip_by_global_norm(9.0), gl.adamw(0.1)), PARAMS, state)
    jax.tree.map(np.testing.assert_array_equal, gl.tree.get(moved, "nu"), gl.tree.get(state, "nu"))


def test_where_no_count_says_how_many_steps_were_taken_it_has_to_be_given():
    state = trained(gl.sgd(0.1))
    with pytest.raises(ValueError, match=r"migrate_state: the old state has nothing for .*count"):
        gl.migrate_state(gl.sgd(RATE), PARAMS, state)
    moved = gl.migrate_state(gl.sgd(RATE), PARAMS, state, count=4)
    same(moved, trained(gl.sgd(RATE)))


def test_what_is_new_is_named_and_starts_anew_if_allowed():
    plain, averaged = gl.adam(0.1), gl.average_iterates(gl.adam(0.1))
    state = trained(plain)
    with pytest.raises(ValueError, match=r"nothing for .*average/b, average/w"):
        gl.migrate_state(averaged, PARAMS, state)
    moved = gl.migrate_state(averaged, PARAMS, state, fresh=["average*", "count"])
    same(moved.inner_state, state)
    same(moved.average, averaged.init(PARAMS).average)


def test_what_would_be_lost_is_named_and_is_lost_if_allowed():
    state = trained(gl.sgd(0.1, 0.9))
    with pytest.raises(ValueError, match=r"0/trace/b, 0/trace/w of the old state has no place"):
        gl.migrate_state(gl.sgd(0.1), PARAMS, state)
    moved = gl.migrate_state(gl.sgd(0.1), PARAMS, state, dropped=["*/trace/*"])
    same(moved, trained(gl.sgd(0.1)))


def test_groups_are_found_by_their_label_not_by_their_order():
    def grouped(**opts):
        labels = {"w": "one", "b": "two"}
        return gl.partition({label: opts[label] for label in opts}, labels)

    both = {"one": gl.sgd(0.1, 0.9), "two": gl.sgd(0.1, 0.9)}
    state = trained(grouped(**both))
    clipped = {**both, "two": gl.chain(gl.clip_by_global_norm(5.0), gl.sgd(0.1, 0.9))}
    moved = gl.migrate_state(grouped(**dict(reversed(clipped.items()))), PARAMS, state)
    old, new = state.inner_states, moved.inner_states
    same(gl.tree.get(new["one"], "trace"), gl.tree.get(old["one"], "trace"))
    same(gl.tree.get(new["two"], "trace"), gl.tree.get(old["two"], "trace"))


def test_another_shape_is_not_taken_for_the_same_parameter():
    wide = {"w": jnp.zeros(5), "b": jnp.ones(2)}
    with pytest.raises(ValueError, match="has no place"):
        gl.migrate_state(gl.sgd(0.1, 0.9), wide, trained(gl.sgd(0.1, 0.9)))


def test_two_equal_links_of_which_one_is_gone_are_not_confused():
    two = gl.chain(gl.trace(0.9), gl.trace(0.5), gl.scale(-0.1))
    one = gl.chain(gl.trace(0.5), gl.scale(-0.1))
    with pytest.raises(ValueError, match="has no place"):
        gl.migrate_state(one, PARAMS, trained(two))


def test_state_dtypes_are_those_of_the_new_optimizer():
    state = trained(gl.adam(0.1))
    moved = gl.migrate_state(gl.adam(0.1, mu_dtype=jnp.bfloat16), PARAMS, state)
    assert gl.tree.get(moved, "mu")["w"].dtype == jnp.bfloat16
    assert gl.tree.get(moved, "nu")["w"].dtype == jnp.float32


def test_the_old_state_is_not_shared_with_the_new_one():
    state = trained(gl.adam(0.1))
    moved = gl.migrate_state(gl.adam(0.1), PARAMS, state)
    kept = {x.unsafe_buffer_pointer() for x in jax.tree.leaves(state)}
    assert not kept & {x.unsafe_buffer_pointer() for x in jax.tree.leaves(moved)}


def test_fields_without_arrays_may_be_missing_in_a_checkpoint():
    opt = gl.bsam(gl.sgd(0.1), data_size=10)
    state = opt.init(PARAMS)
    kept = as_dicts(state)
    assert set(kept) > {"count", "inner_state", "memory"}
    for name in ("cache", "aux", "inner_state"):  # None, None, and a state without arrays
        del kept[name]
    same(gl.migrate_state(opt, PARAMS, kept), state)
