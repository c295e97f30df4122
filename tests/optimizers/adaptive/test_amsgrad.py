"""AMSGrad: its paper, other code, optax."""

import optax
import pytest

import gradlab as gl
from tests import agreement
from tests.reference.load import curves


@pytest.mark.parametrize(
    "settings",
    [
        {"b1": 0.8, "b2": 0.95},
        {"bias_correction_mu": False, "bias_correction_nu": False, "weight_decay": 0.1},
    ],
)
def test_paper(settings):
    agreement.assert_matches_paper(
        gl.amsgrad(0.01, **settings), "amsgrad", learning_rate=0.01, **settings
    )


@pytest.mark.parametrize("curve", curves("amsgrad"), ids=lambda curve: curve.name)
def test_reference(curve):
    agreement.assert_matches_reference(gl.amsgrad(**curve.settings), curve)


def test_optax():
    agreement.assert_matches_optax(
        gl.amsgrad,
        optax.amsgrad,
        [
            {"learning_rate": 0.001},
            {
                "learning_rate": 0.02,
                "b1": 0.3,
                "b2": 0.97,
                "eps": 0.001,
                "eps_root": 1e-05,
                "bias_correction_mu": False,
            },
            {"learning_rate": 0.02, "b2": 0.9, "bias_correction_nu": False},
        ],
    )
