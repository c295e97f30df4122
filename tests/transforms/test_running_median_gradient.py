"""The running median of gradients: its paper, what it estimates, and its edges."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from gradlab import core
from tests import agreement


@pytest.mark.parametrize("norm", ["l2", "l1"])
@pytest.mark.parametrize("max_delta", [0.03, 1.0])
def test_paper(norm, max_delta):
    opt = gl.running_median_gradient(max_delta, norm)
    settings = {"max_delta": max_delta, "norm": norm}
    agreement.assert_matches_paper(opt, "running_median_gradient", **settings)


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_without_a_bound_it_is_the_identity(norm):
    agreement.assert_same_numbers(gl.running_median_gradient(float("inf"), norm), gl.identity())


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_heavy_tails_move_the_mean_and_not_the_estimate(norm):
    draws = np.random.default_rng(0).standard_cauchy((4000, 3)) + np.array([1.0, -2.0, 0.5])
    opt = gl.running_median_gradient(0.01, norm)
    state = opt.init(jnp.zeros(3))
    step = jax.jit(lambda s, g: (opt.update(g, s)[1], None))
    state, _ = jax.lax.scan(step, state, jnp.asarray(draws, jnp.float32))
    np.testing.assert_allclose(state.mu, [1.0, -2.0, 0.5], atol=0.25)
    assert np.max(np.abs(draws.mean(0) - [1.0, -2.0, 0.5])) > 0.3


def test_the_ball_is_that_of_all_arrays_together():
    g = {"a": jnp.full(2, 3.0), "b": jnp.float32(3.0), "c": None}
    opt = gl.running_median_gradient(1.0)
    update, _ = opt.update(g, opt.init(g))
    np.testing.assert_allclose(gl.global_norm(update), 1.0, rtol=1e-6)


def test_a_gradient_equal_to_the_estimate_has_finite_derivatives():
    def moved(g, bound, norm):
        opt = gl.replace(gl.running_median_gradient(0.5, norm), max_delta=bound)
        return opt.update(g, opt.init(g))[0].sum()

    for norm in ("l2", "l1"):
        slopes = jax.grad(moved, (0, 1))(jnp.zeros(3), 0.5, norm)
        np.testing.assert_array_equal(slopes[0], 1)
        assert slopes[1] == 0


def test_a_ball_of_another_norm_is_seen(monkeypatch):
    monkeypatch.setattr(core, "global_norm", lambda tree: jnp.abs(tree).max())
    with pytest.raises(AssertionError):
        test_paper("l2", 0.03)
