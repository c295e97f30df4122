"""RAdam: its paper, other code, optax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from tests import agreement
from tests.reference.load import curves


@pytest.mark.parametrize(
    "settings",
    [{"b1": 0.8, "b2": 0.95}, {"b2": 0.9, "threshold": 4.0, "nesterov": True, "weight_decay": 0.1}],
)
def test_paper(settings):
    agreement.assert_matches_paper(
        gl.radam(0.01, **settings), "radam", learning_rate=0.01, **settings
    )


@pytest.mark.parametrize("curve", curves("radam"), ids=lambda curve: curve.name)
def test_reference(curve):
    agreement.assert_matches_reference(gl.radam(**curve.settings), curve)


def test_optax():
    agreement.assert_matches_optax(
        gl.radam,
        optax.radam,
        [
            {"learning_rate": 0.001},
            {
                "learning_rate": 0.02,
                "b1": 0.3,
                "b2": 0.97,
                "eps": 0.001,
                "threshold": 4.0,
                "nesterov": True,
            },
            {"learning_rate": 0.02, "b2": 0.6},
        ],
    )


@pytest.mark.parametrize("b2", [0.0, 0.5, 0.6])
def test_with_a_short_memory_it_is_momentum_and_differentiable(b2):
    def total(b2):
        opt = gl.replace(gl.radam(0.1), b2=b2)
        updates, _ = agreement.open_loop(opt, jnp.ones((20, 2)).at[:, 0].set(0), jnp.ones(2))
        return jnp.sum(updates)

    value, slope = jax.value_and_grad(total)(b2)
    np.testing.assert_allclose(value, -0.1 * 20, rtol=1e-5)
    assert slope == 0
