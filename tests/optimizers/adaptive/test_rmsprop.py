"""RMSProp: its sources, other code, optax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from tests import agreement
from tests.reference.load import curves


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"momentum": 0.9, "nesterov": True, "initial_scale": 0.5, "weight_decay": 0.1},
        {"centered": True, "momentum": 0.5, "eps": 0.001},
        {"bias_correction": True, "eps_in_sqrt": False},
    ],
)
def test_paper(settings):
    agreement.assert_matches_paper(
        gl.rmsprop(0.01, **settings), "rmsprop", learning_rate=0.01, **settings
    )


@pytest.mark.parametrize("curve", curves("rmsprop"), ids=lambda curve: curve.name)
def test_reference(curve):
    agreement.assert_matches_reference(gl.rmsprop(**curve.settings), curve)


def test_optax():
    agreement.assert_matches_optax(
        gl.rmsprop,
        optax.rmsprop,
        [
            {"learning_rate": 0.01},
            {
                "learning_rate": optax.cosine_decay_schedule(0.1, 100),
                "decay": 0.7,
                "momentum": 0.9,
                "nesterov": True,
                "initial_scale": 0.3,
            },
            {"learning_rate": 0.1, "momentum": 0.5, "bias_correction": True, "eps_in_sqrt": False},
            {"learning_rate": 0.1, "centered": True, "eps": 0.001, "decay": 0.99, "momentum": 0.3},
            {
                "learning_rate": 0.1,
                "centered": True,
                "eps": 0.1,
                "eps_in_sqrt": False,
                "initial_scale": 0.5,
            },
        ],
    )


def test_centred_and_corrected_is_optax_up_to_the_difference_of_near_numbers():
    options = {"learning_rate": 0.1, "centered": True, "bias_correction": True, "eps": 1.0}
    agreement.assert_matches_optax(gl.rmsprop, optax.rmsprop, [options], rtol=1e-4, eager=False)


def test_without_memory_it_is_the_sign():
    agreement.assert_same_numbers(
        gl.rmsprop(0.01, decay=0.0, eps=0.0), gl.lion(0.01, b1=0.0, weight_decay=0.0), rtol=1e-6
    )


def test_a_scheduled_rate_and_a_decay_beside_momentum():
    opt = gl.rmsprop(gl.linear_schedule(0.1, 0.0, 10), momentum=0.0, weight_decay=0.1)
    plain = gl.rmsprop(gl.linear_schedule(0.1, 0.0, 10), weight_decay=0.1)
    updates, states = agreement.open_loop(opt, jnp.ones((5, 2)), jnp.ones(2))
    expected, _ = agreement.open_loop(plain, jnp.ones((5, 2)), jnp.ones(2))
    np.testing.assert_allclose(updates, expected, rtol=1e-6)
    state = jax.tree.map(lambda x: x[-1], states)
    np.testing.assert_allclose(gl.current(opt, state)["learning_rate"], 0.05, rtol=1e-6)
