"""Optimistic gradient descent: its paper, other code, optax, the bilinear game."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from gradlab.optimizers.games import _optimistic_gradient_descent
from tests import agreement
from tests.optimizers.games import play
from tests.reference.load import curves

WEIGHTED = {"alpha": 0.7, "beta": 1.5, "weight_decay": 0.1}


@pytest.mark.parametrize("settings", [{}, WEIGHTED], ids=["defaults", "weighted"])
def test_paper(settings):
    agreement.assert_matches_paper(
        gl.optimistic_gradient_descent(0.01, **settings),
        "optimistic_gradient_descent",
        learning_rate=0.01,
        **settings,
    )


@pytest.mark.parametrize(
    "curve", curves("optimistic_gradient_descent"), ids=lambda curve: curve.name
)
def test_reference(curve):
    agreement.assert_matches_reference(gl.optimistic_gradient_descent(**curve.settings), curve)


def test_optax():
    schedule = optax.cosine_decay_schedule(0.1, 100)
    agreement.assert_matches_optax(
        gl.optimistic_gradient_descent,
        optax.optimistic_gradient_descent,
        [{"learning_rate": schedule, "alpha": 0.3, "beta": 2.0}],
    )


def test_direction():
    agreement.assert_matches_optax(
        gl.scale_by_optimistic_gradient,
        optax.scale_by_optimistic_gradient,
        [{"alpha": 0.3, "beta": -0.4}],
    )


def test_without_optimism_it_is_gradient_descent():
    agreement.assert_same_numbers(gl.optimistic_gradient_descent(0.1, beta=0.0), gl.sgd(0.1))


def test_it_converges_on_the_bilinear_game_where_gradient_descent_does_not():
    rates = [0.05, 0.1, 0.3, 0.5]
    optimistic = [gl.optimistic_gradient_descent(rate) for rate in rates]
    plain = [gl.sgd(rate) for rate in rates]
    assert (play.spectral_radii(optimistic, play.BILINEAR) < 1).all()
    np.testing.assert_allclose(
        play.spectral_radii(plain, play.BILINEAR), np.hypot(1.0, rates), rtol=1e-10
    )
    assert play.distances(gl.optimistic_gradient_descent(0.3), play.BILINEAR, 300)[-1] < 1e-4
    assert play.distances(gl.sgd(0.3), play.BILINEAR, 300)[-1] > 1e4


def test_the_first_step_has_nothing_to_compare_with():
    opt, params = gl.optimistic_gradient_descent(1.0, beta=5.0), jnp.zeros(2)
    updates, state = opt.update(jnp.array([3.0, 0.0]), opt.init(params), params)
    np.testing.assert_array_equal(updates, [-3.0, 0.0])
    updates, _ = opt.update(jnp.array([4.0, 0.0]), state, params)
    np.testing.assert_array_equal(updates, [-9.0, 0.0])


def test_a_first_step_from_zero_is_seen(monkeypatch):
    monkeypatch.setattr(
        _optimistic_gradient_descent, "jnp", _NoWhere(_optimistic_gradient_descent.jnp)
    )
    with pytest.raises(AssertionError):
        agreement.assert_matches_paper(
            gl.optimistic_gradient_descent(0.01), "optimistic_gradient_descent", learning_rate=0.01
        )


class _NoWhere:
    """A module whose `where` takes the second choice."""

    def __init__(self, module):
        self.module = module

    def __getattr__(self, name):
        return getattr(self.module, name)

    def where(self, condition, first, second):
        del condition, first
        return second
