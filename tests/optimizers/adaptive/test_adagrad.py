"""AdaGrad: its paper, other code, optax."""

import optax
import pytest

import gradlab as gl
from tests import agreement
from tests.reference.load import curves


@pytest.mark.parametrize(
    "settings",
    [{}, {"initial_accumulator_value": 0.0, "eps": 0.0, "weight_decay": 0.1}],
)
def test_paper(settings):
    agreement.assert_matches_paper(
        gl.adagrad(0.01, **settings), "adagrad", learning_rate=0.01, **settings
    )


@pytest.mark.parametrize("curve", curves("adagrad"), ids=lambda curve: curve.name)
def test_reference(curve):
    agreement.assert_matches_reference(gl.adagrad(**curve.settings), curve)


def test_optax():
    agreement.assert_matches_optax(
        gl.adagrad,
        optax.adagrad,
        [
            {"learning_rate": 0.1},
            {
                "learning_rate": optax.cosine_decay_schedule(0.1, 100),
                "initial_accumulator_value": 0.0,
                "eps": 0.001,
            },
        ],
    )
