"""GraNet: its steps, its schedule, weights that are exactly zero, and what it does not change."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from gradlab.linalg import largest_together
from tests import agreement

SETTINGS = {"final_sparsity": 0.7, "end": 30, "every": 3, "regrowth": 0.4}


@pytest.mark.parametrize(("initial_sparsity", "begin"), [(0.0, 0), (0.3, 6)])
def test_paper(initial_sparsity, begin):
    settings = {**SETTINGS, "initial_sparsity": initial_sparsity, "begin": begin}
    agreement.assert_matches_paper(
        gl.granet(gl.sgd(0.03), **settings),
        "granet",
        shape=(6, 5),
        learning_rate=0.03,
        **settings,
    )


def run(opt, shape=(8, 5), steps=60):
    params = {"w": jnp.asarray(agreement.start(shape), jnp.float32), "b": jnp.ones(3)}
    gradients = jax.tree.map(
        lambda p: jnp.asarray(agreement.gradient_sequence(p.shape, steps), jnp.float32), params
    )
    updates, states = agreement.open_loop(opt, gradients, params)
    moved = jax.tree.map(lambda p, u: p + jnp.cumsum(u, 0), params, updates)
    return moved, states


def parameters(opt, params, gradients):
    """The parameters after every step, as a training loop would have them."""
    state, found = opt.init(params), []
    step = jax.jit(opt.update)
    for g in gradients:
        updates, state = step(g, state, params)
        params = optax.apply_updates(params, updates)
        found.append(params)
    return found, state


@pytest.mark.parametrize("inner", [gl.sgd(0.05, 0.9), gl.adamw(0.05), optax.adam(0.05)])
def test_pruned_weights_are_exactly_zero_after_every_step(inner):
    w = jnp.asarray(agreement.start((8, 5)), jnp.float32)
    gradients = jnp.asarray(agreement.gradient_sequence((8, 5), 40), jnp.float32)
    opt = gl.granet(inner, **SETTINGS)
    found, state = parameters(opt, w, gradients)
    np.testing.assert_array_equal(found[-1] == 0, ~np.asarray(state.kept))
    assert int(jnp.sum(found[-1] != 0)) == 12


def test_sparsity_follows_the_cubic_schedule():
    moved, states = run(gl.granet(gl.sgd(0.01, 0.9), 0.8, 30, every=5, regrowth=0.3))
    held = states.kept["w"].sum((1, 2))
    expected = [40 * (1 - 0.8 * (1 - (1 - t / 30) ** 3)) for t in range(5, 31, 5)]
    np.testing.assert_array_equal(held[4:30:5], np.floor(np.array(expected) + 0.5))
    np.testing.assert_array_equal(held[:4], 40)
    np.testing.assert_array_equal(held[30:], 8)
    assert moved["b"].all()


def test_weights_grow_where_the_gradient_is_largest_and_start_at_zero():
    w = jnp.array([[4.0, 3.0, 0.2, 0.1]])
    opt = gl.granet(gl.sgd(0.0), 0.5, end=4, initial_sparsity=0.5, every=2, regrowth=1.0)
    state, g = opt.init(w), jnp.array([[0.0, 0.0, 1.0, 9.0]])
    for _ in range(2):
        updates, state = opt.update(g, state, w)
        w = w + updates
    np.testing.assert_array_equal(state.kept, [[True, False, False, True]])
    np.testing.assert_array_equal(w, [[4.0, 0.0, 0.0, 0.0]])


def test_without_regrowth_what_is_pruned_stays_pruned():
    _, states = run(gl.granet(gl.sgd(0.1), 0.8, 30, regrowth=0.0, every=2))
    kept = np.asarray(states.kept["w"])
    assert not np.any(kept[1:] & ~kept[:-1])


def test_all_arrays_share_one_threshold():
    params = {"small": jnp.full((2, 3), 0.1), "large": jnp.full((2, 3), 5.0), "b": jnp.ones(3)}
    opt = gl.granet(gl.sgd(0.0), 0.5, end=1, every=1, regrowth=0.0)
    updates, state = opt.update(jax.tree.map(jnp.zeros_like, params), opt.init(params), params)
    assert not state.kept["small"].any()
    assert state.kept["large"].all()
    np.testing.assert_array_equal(updates["small"], -params["small"])
    np.testing.assert_array_equal(updates["b"], 0)


def test_with_nothing_to_prune_it_is_the_inner_optimizer():
    inner = gl.adam(0.05)
    agreement.assert_same_numbers(gl.granet(inner, 0.0, 10, every=1, regrowth=0.0), inner)
    w = {"w": jnp.asarray(agreement.start((4, 3)))}
    g = jax.tree.map(lambda p: jnp.asarray(agreement.gradient_sequence(p.shape)), w)
    pruned, _ = agreement.open_loop(gl.granet(inner, 0.0, 10, every=1, regrowth=0.5), g, w)
    plain, _ = agreement.open_loop(inner, g, w)
    np.testing.assert_allclose(pruned["w"], plain["w"], rtol=1e-5, atol=1e-7)


def test_ranks_of_several_arrays_together():
    masks = largest_together([jnp.array([[1.0, 5.0]]), jnp.array([4.0, 3.0, 6.0])], 3)
    np.testing.assert_array_equal(masks[0], [[0, 1]])
    np.testing.assert_array_equal(masks[1], [1, 0, 1])
    assert largest_together([], 3) == []


def test_a_missing_gradient_is_no_update_and_the_mask_stays():
    params = {"a": jnp.ones((2, 2)), "b": jnp.full((2, 2), 0.1)}
    opt = gl.granet(gl.sgd(0.1), 0.5, end=1, every=1)
    updates, state = opt.update({"a": None, "b": params["b"]}, opt.init(params), params)
    assert updates["a"] is None
    assert state.kept["a"].all()
    assert state.kept["b"].sum() == 2


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="end=3 is not after begin=3"):
        gl.granet(gl.sgd(0.1), 0.5, 3, begin=3)
    with pytest.raises(ValueError, match=r"final_sparsity=1.0 is outside \[0, 1\)"):
        gl.granet(gl.sgd(0.1), 1.0, 3)
    opt = gl.granet(gl.sgd(0.1), 0.5, 3)
    with pytest.raises(ValueError, match="granet: update needs the parameters"):
        opt.update(jnp.ones((2, 2)), opt.init(jnp.ones((2, 2))))
    with pytest.raises(ValueError, match="selects none"):
        gl.granet(gl.sgd(0.1), 0.5, 3, mask=False).init(jnp.ones((2, 2)))
