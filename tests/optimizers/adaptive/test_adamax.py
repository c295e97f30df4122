"""AdaMax: its paper, other code, optax."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from tests import agreement
from tests.reference.load import curves


@pytest.mark.parametrize(
    "settings",
    [{"b1": 0.8, "b2": 0.95, "weight_decay": 0.1}],
)
def test_paper(settings):
    agreement.assert_matches_paper(
        gl.adamax(0.01, **settings), "adamax", learning_rate=0.01, **settings
    )


@pytest.mark.parametrize("curve", curves("adamax"), ids=lambda curve: curve.name)
def test_reference(curve):
    agreement.assert_matches_reference(gl.adamax(**curve.settings), curve)


def test_optax():
    agreement.assert_matches_optax(
        gl.adamax,
        optax.adamax,
        [
            {"learning_rate": 0.002},
            {
                "learning_rate": optax.cosine_decay_schedule(0.1, 100),
                "b1": 0.3,
                "b2": 0.9,
                "eps": 0.001,
            },
        ],
    )


def test_without_eps_a_coordinate_without_gradients_rests():
    opt = gl.adamax(0.1, eps=0.0)
    updates, _ = agreement.open_loop(opt, jnp.zeros((3, 2)), jnp.ones(2))
    np.testing.assert_array_equal(updates, 0)
