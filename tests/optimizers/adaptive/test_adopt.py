"""ADOPT: its paper, other code, optax."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from tests import agreement
from tests.reference.load import curves


@pytest.mark.parametrize(
    "settings",
    [{"b1": 0.8, "b2": 0.95}, {"nesterov": True, "use_clipping": False, "weight_decay": 0.1}],
)
def test_paper(settings):
    agreement.assert_matches_paper(
        gl.adopt(0.01, **settings), "adopt", learning_rate=0.01, **settings
    )


@pytest.mark.parametrize("curve", curves("adopt"), ids=lambda curve: curve.name)
def test_reference(curve):
    agreement.assert_matches_reference(gl.adopt(**curve.settings), curve)


def test_optax():
    agreement.assert_matches_optax(
        gl.adopt,
        optax.contrib.adopt,
        [
            {"learning_rate": 0.001},
            {
                "learning_rate": 0.02,
                "b1": 0.3,
                "b2": 0.7,
                "eps": 0.001,
                "nesterov": True,
                "use_clipping": False,
            },
            {"learning_rate": 0.02, "clip_value_fn": lambda count: 2.0 + count},
        ],
    )


def test_the_first_step_moves_nothing():
    updates, states = agreement.open_loop(gl.adopt(0.1), jnp.ones((2, 3)), jnp.ones(3))
    np.testing.assert_array_equal(updates[0], 0)
    np.testing.assert_array_equal(states[0].nu[0], 1)


def test_clipping_refuses_complex_gradients():
    params = jnp.ones(2, jnp.complex64)
    with pytest.raises(ValueError, match="complex"):
        gl.adopt(0.1).update(params, gl.adopt(0.1).init(params))
    opt = gl.adopt(0.1, use_clipping=False)
    assert opt.update(params, opt.init(params))[0].dtype == jnp.complex64
