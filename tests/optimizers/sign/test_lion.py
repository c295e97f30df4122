"""Lion: its paper, other code, optax."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from gradlab import core
from tests import agreement
from tests.reference.load import curves


@pytest.mark.parametrize(
    "settings",
    [{}, {"b1": 0.5, "b2": 0.8, "weight_decay": 0.1}],
)
def test_paper(settings):
    agreement.assert_matches_paper(
        gl.lion(0.01, **settings), "lion", learning_rate=0.01, **settings
    )


@pytest.mark.parametrize("curve", curves("lion"), ids=lambda curve: curve.name)
def test_reference(curve):
    agreement.assert_matches_reference(gl.lion(**curve.settings), curve)


def test_optax():
    agreement.assert_matches_optax(
        gl.lion,
        optax.lion,
        [
            {"learning_rate": 0.001},
            {
                "learning_rate": optax.cosine_decay_schedule(0.1, 100),
                "b1": 0.4,
                "b2": 0.7,
                "weight_decay": optax.linear_schedule(0.1, 0.0, 50),
                "mask": {"kernel": True, "layer": {"bias": False, "gain": True}},
            },
        ],
    )


@pytest.mark.parametrize("mode", ["hard", "smooth", "refined"])
def test_direction(mode):
    options = {"b1": 0.4, "mode": mode, "smooth_beta": 0.7}
    agreement.assert_matches_optax(gl.scale_by_lion, optax.scale_by_lion, [options])


def test_a_complex_number_keeps_its_direction():
    gradient = jnp.array([3 + 4j, 0j], jnp.complex64)
    opt = gl.lion(1.0, weight_decay=0.0)
    updates, _ = opt.update(gradient, opt.init(gradient), gradient)
    np.testing.assert_allclose(updates, [-0.6 - 0.8j, 0], rtol=1e-6)


def test_a_wrong_tensor_is_seen(monkeypatch):
    right = core.average
    monkeypatch.setattr(core, "average", lambda old, new, decay: right(new, old, decay))
    with pytest.raises(AssertionError):
        agreement.assert_matches_paper(gl.lion(0.01), "lion", learning_rate=0.01)
