"""Adam: its paper, other code, optax."""

import optax
import pytest

import gradlab as gl
from gradlab import core
from gradlab.core import _moments
from gradlab.optimizers.adaptive._adam import ScaleByAdam
from tests import agreement
from tests.reference.load import curves


@pytest.mark.parametrize(
    "settings",
    [{"b1": 0.8, "b2": 0.95}, {"nesterov": True, "weight_decay": 0.1, "eps_root": 1e-06}],
)
def test_paper(settings):
    agreement.assert_matches_paper(
        gl.adam(0.01, **settings), "adam", learning_rate=0.01, **settings
    )


@pytest.mark.parametrize("curve", curves("adam"), ids=lambda curve: curve.name)
def test_reference(curve):
    agreement.assert_matches_reference(gl.adam(**curve.settings), curve)


def test_optax():
    agreement.assert_matches_optax(
        gl.adam,
        optax.adam,
        [
            {"learning_rate": 0.001},
            {
                "learning_rate": 0.02,
                "b1": 0.3,
                "b2": 0.97,
                "eps": 0.001,
                "eps_root": 1e-05,
                "nesterov": True,
            },
        ],
    )


def test_a_missing_bias_correction_is_seen(monkeypatch):
    for module in (core, _moments):
        monkeypatch.setattr(module, "debias", lambda mean, decay, count: mean)
    with pytest.raises(AssertionError):
        agreement.assert_matches_paper(gl.adam(0.01), "adam", learning_rate=0.01)


def test_a_wrong_tensor_is_seen():
    class Wrong(ScaleByAdam):
        def update(self, updates, state, params=None, **extra):
            swapped = state._replace(mu=state.nu, nu=state.mu)
            return super().update(updates, swapped, params, **extra)

    values = gl.hyperparameters(gl.scale_by_adam())
    wrong = core.build(Wrong, **values, mu_dtype=None, nesterov=False)
    opt = gl.chain(wrong, gl.scale(-0.01))
    with pytest.raises(AssertionError):
        agreement.assert_matches_paper(opt, "adam", learning_rate=0.01)
