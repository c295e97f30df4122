"""NAdamW: its papers, other code, optax."""

import optax
import pytest

import gradlab as gl
from tests import agreement
from tests.reference.load import curves


@pytest.mark.parametrize(
    "settings",
    [{"b1": 0.8, "weight_decay": 0.1}],
)
def test_paper(settings):
    agreement.assert_matches_paper(
        gl.nadamw(0.01, **settings), "nadamw", learning_rate=0.01, **settings
    )


@pytest.mark.parametrize("curve", curves("nadamw"), ids=lambda curve: curve.name)
def test_reference(curve):
    agreement.assert_matches_reference(gl.nadamw(**curve.settings), curve)


def test_optax():
    agreement.assert_matches_optax(
        gl.nadamw,
        optax.nadamw,
        [
            {"learning_rate": 0.002},
            {
                "learning_rate": 0.02,
                "b1": 0.3,
                "weight_decay": 0.1,
                "mask": {"kernel": True, "layer": False},
            },
        ],
    )


def test_without_decay_it_is_nadam():
    agreement.assert_same_numbers(gl.nadamw(0.01, weight_decay=0.0), gl.nadam(0.01))
