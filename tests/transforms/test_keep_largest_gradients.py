"""Gradient-mask tuning: its paper, exact numbers, and accumulation before it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from gradlab.linalg import largest, portion
from tests import agreement
from tests.reference.load import curves


@pytest.mark.parametrize("fraction", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("shape", [(12,), (3, 4)])
def test_paper(shape, fraction):
    opt = gl.keep_largest_gradients(fraction)
    agreement.assert_matches_paper(opt, "keep_largest_gradients", shape=shape, fraction=fraction)


@pytest.mark.parametrize("curve", curves("keep_largest_gradients"), ids=lambda c: c.name)
def test_torch_chooses_the_same_when_it_prunes(curve):
    agreement.assert_matches_reference(gl.keep_largest_gradients(**curve.settings), curve)


def test_all_is_the_identity():
    agreement.assert_same_numbers(gl.keep_largest_gradients(1.0), gl.identity())


def test_exactly_so_many_are_kept_of_equal_ones():
    np.testing.assert_array_equal(largest(jnp.ones((2, 3)), 2), [[1, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(largest(jnp.zeros(3), 0), [0, 0, 0])
    np.testing.assert_array_equal(largest(jnp.zeros(3), 9), [1, 1, 1])
    assert largest(jnp.zeros((0, 2)), 1).shape == (0, 2)


def test_a_fraction_is_rounded_to_the_nearest_number():
    assert [int(portion(f, 10)) for f in (0.0, 0.04, 0.06, 0.1, 0.3, 0.7, 1.0)] == [
        *(0, 0, 1, 1, 3, 7, 10)
    ]


def test_what_is_not_a_number_does_not_disappear():
    opt = gl.keep_largest_gradients(0.5)
    update, _ = opt.update(jnp.array([1.0, jnp.nan, 3.0, 2.0]), gl.EmptyState())
    np.testing.assert_array_equal(update, [0.0, jnp.nan, 3.0, 0.0])


def test_a_sweep_of_fractions_is_one_program():
    g = jnp.array([1.0, -9.0, 3.0, 2.0])
    opts = gl.stack([gl.keep_largest_gradients(f) for f in (0.25, 0.5, 0.75)])
    kept = jax.jit(jax.vmap(lambda o: o.update(g, gl.EmptyState())[0]))(opts)
    np.testing.assert_array_equal((kept != 0).sum(1), [1, 2, 3])


def test_accumulated_gradients_choose():
    inner = gl.chain(gl.keep_largest_gradients(0.5), gl.sgd(1.0))
    opt, p = gl.MultiSteps(inner, 2), jnp.zeros(2)
    state = opt.init(p)
    for g in (jnp.array([5.0, 1.0]), jnp.array([-5.0, 1.0])):
        update, state = opt.update(g, state, p)
    np.testing.assert_array_equal(update, [0.0, -1.0])
