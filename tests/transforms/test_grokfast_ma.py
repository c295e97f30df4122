"""Grokfast-MA: its paper, its window, and its start."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from tests import agreement
from tests.reference.load import curves


@pytest.mark.parametrize("warmup", [True, False])
@pytest.mark.parametrize("window", [1, 7])
def test_paper(window, warmup):
    opt = gl.grokfast_ma(window, 0.5, warmup)
    settings = {"window": window, "gain": 0.5, "warmup": warmup}
    agreement.assert_matches_paper(opt, "grokfast_ma", **settings)


@pytest.mark.parametrize("curve", curves("grokfast_ma"), ids=lambda c: c.name)
def test_the_authors_and_another_package(curve):
    agreement.assert_matches_reference(gl.grokfast_ma(**curve.settings), curve)


def test_without_gain_it_is_the_identity():
    agreement.assert_same_numbers(gl.grokfast_ma(5, 0.0), gl.identity())


def test_a_window_of_one_is_a_scaling():
    agreement.assert_same_numbers(gl.grokfast_ma(1, 2.0), gl.scale(3.0))


def test_gradients_pass_until_the_window_is_full():
    opt, g = gl.grokfast_ma(3, 2.0), jnp.array([1.0, -2.0])
    state, found = opt.init(g), []
    for _ in range(4):
        update, state = opt.update(g, state)
        found.append(np.asarray(update / g))
    np.testing.assert_allclose(found, np.array([[1, 1], [1, 1], [3, 3], [3, 3]]), rtol=1e-6)


def test_old_gradients_leave_no_trace():
    opt = gl.grokfast_ma(4, 1.0)
    big, small = jnp.full(3, 1e8), jnp.full(3, 1e-3)
    state = opt.init(big)
    for g in (big, small, small, small, small):
        update, state = opt.update(g, state)
    np.testing.assert_allclose(update, 2 * small, rtol=1e-6)


def test_the_stored_gradients_can_be_narrow():
    p = jnp.zeros(3, jnp.bfloat16)
    assert gl.grokfast_ma(2).init(p).recent.dtype == jnp.float32
    opt = gl.grokfast_ma(2, accumulator_dtype=jnp.bfloat16)
    _, state = opt.update(p, opt.init(p))
    assert state.recent.dtype == jnp.bfloat16
    assert state.recent.shape == (2, 3)


@pytest.mark.parametrize("window", [0, 2.5, True])
def test_a_window_is_a_positive_integer(window):
    with pytest.raises((ValueError, TypeError), match="grokfast_ma: window"):
        gl.grokfast_ma(window)
