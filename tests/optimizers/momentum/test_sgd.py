"""Gradient descent: its paper, other code, optax."""

import optax
import pytest

import gradlab as gl
from gradlab import core
from tests import agreement
from tests.reference.load import curves


@pytest.mark.parametrize(
    "settings",
    [{}, {"momentum": 0.9, "weight_decay": 0.1}, {"momentum": 0.9, "nesterov": True}],
)
def test_paper(settings):
    agreement.assert_matches_paper(gl.sgd(0.01, **settings), "sgd", learning_rate=0.01, **settings)


@pytest.mark.parametrize("curve", curves("sgd"), ids=lambda curve: curve.name)
def test_reference(curve):
    agreement.assert_matches_reference(gl.sgd(**curve.settings), curve)


def test_optax():
    agreement.assert_matches_optax(
        gl.sgd,
        optax.sgd,
        [
            {"learning_rate": 0.1},
            {
                "learning_rate": optax.cosine_decay_schedule(0.1, 100),
                "momentum": 0.9,
                "nesterov": True,
            },
            {"learning_rate": 0.1, "momentum": 0.5, "accumulator_dtype": "bfloat16"},
        ],
    )


def test_without_memory_it_is_plain():
    agreement.assert_same_numbers(gl.sgd(0.1, momentum=0.0), gl.sgd(0.1))


def test_a_wrong_tensor_is_seen(monkeypatch):
    monkeypatch.setattr(core, "accumulate", lambda old, new, decay, nesterov: (old, new))
    with pytest.raises(AssertionError):
        agreement.assert_matches_paper(
            gl.sgd(0.1, momentum=0.9), "sgd", learning_rate=0.1, momentum=0.9
        )
