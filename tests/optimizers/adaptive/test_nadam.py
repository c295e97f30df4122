"""NAdam: its paper, other code, optax."""

import optax
import pytest

import gradlab as gl
from tests import agreement
from tests.reference.load import curves


@pytest.mark.parametrize(
    "settings",
    [{"b1": 0.8, "b2": 0.95}, {"weight_decay": 0.1, "eps_root": 1e-06}],
)
def test_paper(settings):
    agreement.assert_matches_paper(
        gl.nadam(0.01, **settings), "nadam", learning_rate=0.01, **settings
    )


@pytest.mark.parametrize("curve", curves("nadam"), ids=lambda curve: curve.name)
def test_reference(curve):
    agreement.assert_matches_reference(gl.nadam(**curve.settings), curve)


def test_optax():
    agreement.assert_matches_optax(
        gl.nadam,
        optax.nadam,
        [
            {"learning_rate": 0.002},
            {"learning_rate": 0.02, "b1": 0.3, "b2": 0.97, "eps": 0.001},
            {"learning_rate": 0.002, "nesterov": False},
        ],
    )


def test_it_is_adam_that_looks_ahead():
    agreement.assert_same_numbers(gl.nadam(0.01), gl.adam(0.01, nesterov=True))
