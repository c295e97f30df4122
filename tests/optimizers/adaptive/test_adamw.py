"""AdamW: its paper, other code, optax."""

import optax
import pytest

import gradlab as gl
from tests import agreement
from tests.reference.load import curves


@pytest.mark.parametrize(
    "settings",
    [{"weight_decay": 0.1}],
)
def test_paper(settings):
    agreement.assert_matches_paper(
        gl.adamw(0.01, **settings), "adamw", learning_rate=0.01, **settings
    )


@pytest.mark.parametrize("curve", curves("adamw"), ids=lambda curve: curve.name)
def test_reference(curve):
    agreement.assert_matches_reference(gl.adamw(**curve.settings), curve)


def test_optax():
    agreement.assert_matches_optax(
        gl.adamw,
        optax.adamw,
        [
            {"learning_rate": 0.001},
            {
                "learning_rate": optax.cosine_decay_schedule(0.1, 100),
                "weight_decay": optax.linear_schedule(0.1, 0.0, 50),
                "mask": {"kernel": True, "layer": {"bias": False, "gain": True}},
            },
        ],
    )


def test_without_decay_it_is_adam():
    agreement.assert_same_numbers(gl.adamw(0.01, weight_decay=0.0), gl.adam(0.01))
