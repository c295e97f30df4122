"""The zoom search: optax's numbers, as data, with both modes of differentiation."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from tests.transforms import hard_rays
from tests.transforms.line_search_runs import along, assert_is_optax, assert_steps_are_constants


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"initial_guess_strategy": "one", "curv_rtol": 0.1, "approx_dec_rtol": None},
    ],
    ids=["keep", "one"],
)
def test_optax_gives_the_same_steps_and_states(settings):
    assert_is_optax(
        gl.scale_by_zoom_linesearch(12, **settings), optax.scale_by_zoom_linesearch(12, **settings)
    )


def test_the_strong_wolfe_conditions_hold_on_hard_rays():
    opt = gl.scale_by_zoom_linesearch(
        40,
        slope_rtol=1e-3,
        curv_rtol=0.1,
        approx_dec_rtol=None,
        increase_factor=5.0,
        stepsize_precision=0.0,
    )
    found = hard_rays.searched(opt)
    promised = 1e-3 * found["step"] * found["slope at zero"]
    decreases = found["value"] <= found["value at zero"] + promised
    flat = np.abs(found["slope"]) <= 0.1 * np.abs(found["slope at zero"])
    assert np.all(decreases & flat & (found["step"] > 0))
    assert np.all(np.stack(found["info"][1:]) == 0)


def test_to_derivatives_steps_are_constants():
    assert_steps_are_constants(gl.scale_by_zoom_linesearch(12, curv_rtol=0.1))


def test_a_step_that_is_too_long_for_the_bound_reports_the_slope_left():
    opt = gl.scale_by_zoom_linesearch(12, max_learning_rate=0.01, curv_rtol=0.1)
    _, state = along(lambda x: x**2, opt, jnp.float32(1.0), jnp.float32(-2.0))
    assert state.learning_rate == np.float32(0.01)
    assert state.info.decrease_error == 0
    assert state.info.curvature_error > 1


def test_an_ascent_direction_is_reported():
    opt = gl.scale_by_zoom_linesearch(12)
    _, state = along(lambda x: x**2, opt, jnp.float32(1.0), jnp.float32(1.0))
    assert state.info.decrease_error > 0


def test_complex_parameters_take_the_step_of_their_real_and_imaginary_parts():
    def fn(x):
        return jnp.sum(3 * jnp.real(x) ** 2 + (jnp.imag(x) - 1) ** 4)

    opt = gl.scale_by_zoom_linesearch(12, curv_rtol=0.1)
    z = jnp.array([1.0 + 0.5j, -2.0 + 3.0j], jnp.complex64)
    parts = jnp.stack([z.real, z.imag])
    direction = -jnp.stack([6 * z.real, 4 * (z.imag - 1) ** 3])
    end, state = along(fn, opt, z, direction[0] + 1j * direction[1])
    expected, other = along(lambda p: fn(p[0] + 1j * p[1]), opt, parts, direction)
    np.testing.assert_allclose(state.learning_rate, other.learning_rate, rtol=1e-5)
    np.testing.assert_allclose(jnp.stack([end.real, end.imag]), expected, rtol=1e-4)
    assert state.info.num_linesearch_steps == other.info.num_linesearch_steps > 1
