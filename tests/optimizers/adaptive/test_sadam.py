"""SAdam: the paper, and the two methods that it lies between."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from tests import agreement


def test_paper():
    agreement.assert_matches_paper(
        gl.sadam(0.1, b2=0.99, sharpness=3.0), "sadam", learning_rate=0.1, b2=0.99, sharpness=3.0
    )


def one_step(opt, gradient):
    gradient = jnp.asarray(gradient)
    return opt.update(gradient, opt.init(gradient), gradient)[0]


def test_large_gradients_make_adams_steps():
    g = [1.0, -30.0, 1e4]
    np.testing.assert_allclose(one_step(gl.sadam(0.1), g), one_step(gl.adam(0.1), g), rtol=1e-6)


def test_small_gradients_make_steps_of_momentum():
    rate = 0.1 * 50 / np.log(2)
    g = np.array([1e-6, -1e-5])
    np.testing.assert_allclose(one_step(gl.sadam(0.1), g), -rate * g, rtol=1e-3)
    np.testing.assert_allclose(one_step(gl.adam(0.1), g), [-0.1, 0.1], rtol=0.02)


def test_no_gradient_is_too_large_for_the_softplus():
    assert np.all(np.isfinite(one_step(gl.sadam(0.1, sharpness=1e6), [1e15, 0.0])))


def test_bad_input_names_argument_value_and_bound():
    with pytest.raises(ValueError, match=r"sharpness=0\.0 is outside \(0, inf\)"):
        gl.sadam(0.1, sharpness=0.0)
