"""LaProp: its paper and other code."""

import pytest

import gradlab as gl
from tests import agreement
from tests.reference.load import curves


@pytest.mark.parametrize(
    "settings",
    [{"b1": 0.8, "b2": 0.95}, {"eps": 0.001, "weight_decay": 0.1}],
)
def test_paper(settings):
    agreement.assert_matches_paper(
        gl.laprop(0.01, **settings), "laprop", learning_rate=0.01, **settings
    )


@pytest.mark.parametrize("curve", curves("laprop"), ids=lambda curve: curve.name)
def test_reference(curve):
    agreement.assert_matches_reference(gl.laprop(**curve.settings), curve)


def test_without_momentum_it_is_adam_without_momentum():
    agreement.assert_same_numbers(
        gl.laprop(0.01, b1=0.0, eps=1e-8), gl.adam(0.01, b1=0.0, eps=1e-8), rtol=1e-6
    )


def test_without_memory_it_averages_signs():
    agreement.assert_same_numbers(
        gl.laprop(1.0, b1=0.0, b2=0.0, eps=0.0), gl.lion(1.0, b1=0.0, weight_decay=0.0), rtol=1e-6
    )
