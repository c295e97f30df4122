"""Sparse training: its paper, what never moves, and gradients that stop conflicting."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from gradlab.linalg import largest_of_units
from tests import agreement


@pytest.mark.parametrize("connections", [1, 2, 9])
@pytest.mark.parametrize("shape", [(5, 4), (2, 3, 2, 3)])
def test_paper(shape, connections):
    opt = gl.sparse_update_mask(connections)
    agreement.assert_matches_paper(opt, "sparse_update_mask", shape=shape, connections=connections)


def test_every_neuron_takes_part():
    scores = jnp.abs(jnp.asarray(agreement.start((7, 5))))
    np.testing.assert_array_equal(largest_of_units(scores, 3).sum(0), 3)
    np.testing.assert_array_equal(largest_of_units(scores, 3, 0).sum(1), 3)
    assert largest_of_units(jnp.zeros((0, 3)), 1).shape == (0, 3)


def test_the_axis_of_neurons_can_be_the_first():
    w = jnp.asarray(agreement.start((4, 3)))
    last, first = gl.sparse_update_mask(2).init(w), gl.sparse_update_mask(2, 0).init(w.T)
    np.testing.assert_array_equal(last.kept, first.kept.T)


def test_all_connections_are_the_identity():
    agreement.assert_same_numbers(gl.sparse_update_mask(100), gl.identity(), rtol=0)
    opt, w = gl.sparse_update_mask(4), jnp.ones((4, 3))
    np.testing.assert_array_equal(opt.update(w, opt.init(w), w)[0], w)


def test_as_the_last_link_it_keeps_weights_in_spite_of_momentum_and_decay():
    params = {"w": jnp.asarray(agreement.start((4, 3))), "b": jnp.ones(3)}
    opt = gl.chain(gl.adamw(0.1, weight_decay=0.5), gl.sparse_update_mask(1))
    gradients = jax.tree.map(lambda p: jnp.asarray(agreement.gradient_sequence(p.shape)), params)
    updates, states = agreement.open_loop(opt, gradients, params)
    kept = states[1].kept["w"]
    np.testing.assert_array_equal(kept[0], kept[-1])
    np.testing.assert_array_equal(np.any(updates["w"] != 0, 0), kept[0])
    assert np.all(updates["b"][1:] != 0)


def test_the_mask_chooses_arrays_and_has_to_choose_one():
    params = {"encoder": jnp.ones((3, 2)), "decoder": jnp.ones((3, 2))}
    opt = gl.sparse_update_mask(1, mask={"encoder": True, "decoder": False})
    updates, _ = opt.update(params, opt.init(params), params)
    assert (updates["encoder"].sum(), updates["decoder"].sum()) == (2, 6)
    with pytest.raises(ValueError, match="no parameter at"):
        gl.sparse_update_mask(1, mask={"encodr": True}).init(params)


def test_a_number_that_the_mask_chooses_is_updated():
    opt, params = gl.sparse_update_mask(1, mask=True), {"gain": jnp.float32(2.0), "b": jnp.ones(3)}
    updates, _ = opt.update(params, opt.init(params), params)
    assert (updates["gain"], updates["b"].sum()) == (2, 3)


def test_tasks_that_pull_small_weights_apart_stop_conflicting():
    # Both tasks pull the large weight one way, and the small ones against each other.
    w = jnp.array([[3.0], [0.1], [-0.2]])
    tasks = jnp.array([[[1.0], [2.0], [2.0]], [[1.0], [-2.0], [-2.0]]])
    opt = gl.sparse_update_mask(1)
    masked = [opt.update(g, opt.init(w), w)[0] for g in tasks]
    assert jnp.vdot(*tasks) < 0 < jnp.vdot(*masked)


def test_it_follows_gradient_surgery():
    w = jnp.array([[3.0], [0.1]])
    opt = gl.chain(gl.pcgrad(), gl.sparse_update_mask(1))
    updates, _ = opt.update(jnp.ones((2, 2, 1)), opt.init(w), w)
    assert updates[0, 0] > 0
    assert updates[1, 0] == 0


@pytest.mark.parametrize("connections", [0, 1.5, True])
def test_connections_are_a_positive_integer(connections):
    with pytest.raises((TypeError, ValueError), match="sparse_update_mask: connections"):
        gl.sparse_update_mask(connections)
