"""AdEMAMix: its paper, other code, optax."""

import jax
import jax.numpy as jnp
import optax
import pytest

import gradlab as gl
from tests import agreement
from tests.reference.load import curves


@pytest.mark.parametrize(
    "settings",
    [{"b1": 0.8, "b2": 0.95, "b3": 0.99, "weight_decay": 0.1}],
)
def test_paper(settings):
    agreement.assert_matches_paper(
        gl.ademamix(0.01, **settings), "ademamix", learning_rate=0.01, **settings
    )


@pytest.mark.parametrize("curve", curves("ademamix"), ids=lambda curve: curve.name)
def test_reference(curve):
    agreement.assert_matches_reference(gl.ademamix(**curve.settings), curve)


def test_optax():
    agreement.assert_matches_optax(
        gl.ademamix,
        optax.contrib.ademamix,
        [
            {"learning_rate": 0.001},
            {
                "learning_rate": 0.01,
                "b3": optax.linear_schedule(0.9, 0.999, 50),
                "alpha": optax.linear_schedule(0.0, 5.0, 50),
                "weight_decay": 0.1,
                "mask": {"kernel": True, "layer": False},
            },
        ],
    )


def test_paper_with_schedules():
    alpha, b3 = gl.linear_schedule(0.0, 5.0, 40), gl.linear_schedule(0.9, 0.99, 40)
    agreement.assert_matches_paper(
        gl.ademamix(0.01, alpha=alpha, b3=b3),
        "ademamix",
        learning_rate=0.01,
        alpha=lambda t: min(t / 40, 1) * 5.0,
        b3=lambda t: 0.9 + min(t / 40, 1) * 0.09,
    )


def test_without_the_slow_average_it_is_adam():
    agreement.assert_same_numbers(gl.ademamix(0.01, alpha=0.0), gl.adam(0.01))


def test_schedules_are_read_at_the_slow_count():
    opt = gl.ademamix(0.1, alpha=gl.linear_schedule(0.0, 4.0, 4))
    _, states = agreement.open_loop(opt, jnp.ones((3, 2)), jnp.ones(2))
    state = jax.tree.map(lambda x: x[-1], states)
    assert gl.current(opt, state)["alpha"] == 3.0
