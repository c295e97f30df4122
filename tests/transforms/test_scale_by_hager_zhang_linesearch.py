"""The search of Hager and Zhang: the paper's steps, and what it promises where others fail."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from tests.paper import hager_zhang
from tests.transforms import hard_rays
from tests.transforms.line_search_runs import (
    VALLEY,
    along,
    assert_steps_are_constants,
    descend,
    valley,
)

OTHERS = {
    "slope_rtol": 0.01,
    "curv_rtol": 0.05,
    "approx_dec_rtol": 1e-3,
    "bisection_weight": 0.3,
    "shrink_factor": 0.4,
    "increase_factor": 3.0,
    "initial_factor": 0.05,
    "probe_factor": 0.2,
    "growth_factor": 1.5,
}
PAPER_NAMES = {
    "slope_rtol": "delta",
    "curv_rtol": "sigma",
    "approx_dec_rtol": "epsilon",
    "bisection_weight": "theta",
    "shrink_factor": "gamma",
    "increase_factor": "rho",
    "initial_factor": "psi0",
    "probe_factor": "psi1",
    "growth_factor": "psi2",
}


def in_the_paper(settings):
    return {PAPER_NAMES[name]: value for name, value in settings.items()}


@pytest.mark.parametrize("settings", [{}, OTHERS], ids=["defaults", "others"])
def test_paper_descent(settings):
    def gradient(x):
        return np.asarray(jax.grad(valley)(jnp.asarray(x)))

    opt = gl.chain(gl.sgd(1.0), gl.scale_by_hager_zhang_linesearch(60, **settings))
    with jax.enable_x64(True):
        start = VALLEY.astype(np.float64)
        paper = list(
            hager_zhang.descent(
                lambda x: float(valley(jnp.asarray(x))),
                gradient,
                start,
                8,
                **in_the_paper(settings),
            )
        )
        ends, states = jax.jit(lambda x: descend(opt, x, 8))(jnp.asarray(start))
    steps, evaluations, points = zip(*paper, strict=True)
    np.testing.assert_allclose(states[1].learning_rate, steps, rtol=1e-10)
    np.testing.assert_array_equal(states[1].info.num_linesearch_steps, evaluations)
    np.testing.assert_allclose(ends, np.stack(points), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("settings", [{"slope_rtol": 1e-3, "curv_rtol": 0.1}, OTHERS])
def test_paper_search_on_hard_rays(settings):
    opt = gl.scale_by_hager_zhang_linesearch(60, initial_guess_strategy="keep", **settings)
    found = hard_rays.searched(opt)
    names = in_the_paper(settings)
    with jax.enable_x64(True):
        value = jax.jit(hard_rays.objective)
        slope = jax.jit(jax.grad(hard_rays.objective))
        for i, (which, start) in enumerate(zip(found["which"], found["start"], strict=True)):
            search = hager_zhang.Search(
                lambda a, w=which: float(value(jnp.float64(a), w)),
                lambda a, w=which: float(slope(jnp.float64(a), w)),
                **names,
            )
            # The rounding of two ways to compile decides at the bottom of the second function.
            np.testing.assert_allclose(found["step"][i], search.run(start), rtol=1e-9)
            assert found["info"].num_linesearch_steps[i] == len(search.points)


STRICT = {**OTHERS, "slope_rtol": 0.49, "curv_rtol": 1e-3, "shrink_factor": 0.05}


def wave(a, shape, xp=jnp):
    """Falls at zero and rises far out, with bumps on the way that are higher than the start."""
    width, height, bend = shape
    return 1 - 0.3 * a + bend * a**2 + height * (1 - xp.cos(width * a))


def slope_of_wave(a, shape):
    width, height, bend = shape
    return -0.3 + 2 * bend * a + height * width * np.sin(width * a)


@pytest.mark.parametrize("settings", [{}, OTHERS, STRICT], ids=["defaults", "others", "strict"])
def test_paper_search_on_waves(settings):
    """On 200 of them every part of the paper's search is used, U3 within B2 and within U0 to U2."""
    draw = np.random.default_rng(0)
    shapes = np.exp(draw.uniform(np.log([1, 0.02, 0.01]), np.log([9, 2, 0.2]), (200, 3)))
    starts = np.exp(draw.uniform(np.log(1e-2), np.log(30), 200))
    opt = gl.scale_by_hager_zhang_linesearch(40, initial_guess_strategy="keep", **settings)

    def one(shape, start):
        zero = jnp.zeros(())
        value, grad = jax.value_and_grad(wave)(zero, shape)
        given = {"value": value, "grad": grad, "value_fn": wave, "shape": shape}
        state = opt.init(zero)._replace(learning_rate=start)
        return opt.update(jnp.ones(()), state, zero, **given)

    with jax.enable_x64(True):
        steps, states = jax.tree.map(
            np.asarray, jax.jit(jax.vmap(one))(jnp.asarray(shapes), jnp.asarray(starts))
        )
    ended = 0
    for shape, start, step, count in zip(
        shapes, starts, steps, states.info.num_linesearch_steps, strict=True
    ):
        search = hager_zhang.Search(
            lambda a, s=shape: wave(a, s, np),
            lambda a, s=shape: slope_of_wave(a, s),
            most=40,
            **in_the_paper(settings),
        )
        expected = search.run(start)
        assert count == len(search.points)
        if expected is not None:
            np.testing.assert_allclose(step, expected, rtol=1e-10)
            ended += 1
    assert ended > 190


def test_the_wolfe_or_the_approximate_wolfe_conditions_hold_on_hard_rays():
    opt = gl.scale_by_hager_zhang_linesearch(
        60, slope_rtol=1e-3, curv_rtol=0.1, initial_guess_strategy="keep"
    )
    found = hard_rays.searched(opt)
    slope, before = found["slope"], found["slope at zero"]
    steep_enough = slope >= 0.1 * before
    decreases = found["value"] <= found["value at zero"] + 1e-3 * found["step"] * before
    rises_little = found["value"] <= found["value at zero"] + 1e-6 * np.abs(found["value at zero"])
    approximate = (slope <= (2e-3 - 1) * before) & rises_little
    assert np.all(steep_enough & (decreases | approximate))
    assert np.any(~decreases)
    assert np.all(np.stack(found["info"][1:]) == 0)


def test_it_goes_on_where_rounding_hides_the_decrease():
    """In float32 values near one are equal although the minimum is far off, in its units."""

    def fn(x):
        return 1.0 + jnp.sum(x**2)

    x = jnp.full(3, 1e-4, jnp.float32)
    assert fn(x) == fn(0 * x)
    end, state = along(fn, gl.scale_by_hager_zhang_linesearch(curv_rtol=0.1), x, -2 * x)
    assert state.info.decrease_error == state.info.curvature_error == 0
    assert jnp.linalg.norm(end) < 0.3 * jnp.linalg.norm(x)
    stays, state = along(fn, gl.scale_by_backtracking_linesearch(40), x, -2 * x)
    assert state.info.decrease_error > 0
    assert jnp.linalg.norm(stays) > 0.9 * jnp.linalg.norm(x)


def test_it_backs_away_from_where_the_objective_is_not_finite():
    opt = gl.scale_by_hager_zhang_linesearch(initial_guess_strategy="one", curv_rtol=0.1)
    for fn, x in (
        (lambda x: -jnp.log(x) + x, 2.0),
        (lambda x: jnp.where(x < 0, -jnp.inf, (x - 1) ** 2), 2.0),
        (lambda x: jnp.sqrt(x) ** 3 - x, 2.0),
    ):
        x = jnp.float32(x)
        end, state = along(fn, opt, x, -40 * jax.grad(fn)(x))
        assert 0 < end < 2
        assert fn(end) < fn(x)
        assert state.info.decrease_error == state.info.curvature_error == 0


def test_where_no_step_is_found_none_is_taken_and_the_state_says_so():
    def fn(x):
        return jnp.where(x == 2, x, jnp.nan)

    opt = gl.scale_by_hager_zhang_linesearch(9)
    end, state = along(fn, opt, jnp.float32(2.0), jnp.float32(-1.0))
    assert end == 2
    assert state.learning_rate == 0
    assert state.info.decrease_error == jnp.inf
    assert state.info.num_linesearch_steps == 9
    end, state = along(lambda x: jnp.abs(x - 2), opt, jnp.float32(2.0), jnp.float32(-1.0))
    assert end == 2
    assert 0 < state.info.decrease_error < jnp.inf


def test_along_an_ascent_direction_nothing_is_tried():
    opt = gl.scale_by_hager_zhang_linesearch()
    end, state = along(lambda x: x**2, opt, jnp.float32(1.0), jnp.float32(1.0))
    assert end == 1
    assert state.info.num_linesearch_steps == 0
    assert state.info.decrease_error == 2
    assert state.value == 1
    assert state.grad == 2


def test_at_a_stationary_point_there_is_nothing_to_report():
    opt = gl.scale_by_hager_zhang_linesearch()
    end, state = along(lambda x: x**2, opt, jnp.float32(0.0), jnp.float32(0.0))
    assert end == 0
    assert state.info.decrease_error == state.info.curvature_error == 0


def test_after_a_search_without_a_step_it_begins_anew():
    opt = gl.scale_by_hager_zhang_linesearch(4)
    x = jnp.float32(1.0)
    _, state = along(lambda x: x**2, opt, x, x)
    given = {"value": x**2, "grad": 2 * x, "value_fn": lambda x: x**2}
    updates, state = opt.update(-2 * x, state, x, **given)
    assert state.learning_rate > 0
    assert x + updates < 1


def test_when_evaluations_run_out_the_lowest_point_is_taken():
    opt = gl.scale_by_hager_zhang_linesearch(2, initial_guess_strategy="one", curv_rtol=0.01)
    end, state = along(lambda x: x**2, opt, jnp.float32(1.0), jnp.float32(-0.001))
    assert np.isclose(end, 0.995)
    assert state.info.decrease_error == 0
    assert state.info.curvature_error > 0


def first_trial(fn, x, last=0.0, evaluations=1):
    """The step that the search begins with, of which it has no other."""
    opt = gl.scale_by_hager_zhang_linesearch(evaluations)
    x = jnp.float32(x)
    value, grad = jax.value_and_grad(fn)(x)
    state = opt.init(x)._replace(learning_rate=jnp.float32(last))
    return opt.update(-grad, state, x, value=value, grad=grad, value_fn=fn)[1].learning_rate


def test_the_first_step_is_a_part_of_parameter_or_value():
    assert np.isclose(first_trial(lambda x: (x - 1) ** 2, 3.0), 0.01 * 3 / 4)
    assert np.isclose(first_trial(lambda x: (x - 1) ** 2, 0.0), 0.01 * 1 / 4)
    # Where both are zero, it is one.
    assert first_trial(lambda x: x**4 - x, 0.0) == 0  # which decreases nothing here
    assert first_trial(lambda x: x**4 / 4 - x, 0.0) == 1


def test_later_first_steps_are_interpolated_or_longer():
    # Of a parabola the least, found with a probe; where it bends down, twice the last step.
    assert np.isclose(first_trial(lambda x: (x - 1) ** 2, 3.0, 0.1, 2), 0.5, rtol=1e-3)
    assert np.isclose(first_trial(lambda x: -x - x**2, 1.0, 0.1, 2), 0.2)
    assert first_trial(lambda x: -x - x**2, 1.0, 0.1, 1) == 0


def test_no_step_is_longer_than_the_bound():
    opt = gl.scale_by_hager_zhang_linesearch(max_learning_rate=0.3, curv_rtol=0.01)
    _, state = along(lambda x: x**2, opt, jnp.float32(1.0), jnp.float32(-0.1))
    assert state.learning_rate == np.float32(0.3)
    assert state.info.curvature_error > 0
    assert state.info.num_linesearch_steps == 2  # of 0.1, and of 0.3


def test_to_derivatives_steps_are_constants():
    assert_steps_are_constants(gl.scale_by_hager_zhang_linesearch(20, curv_rtol=0.1))


def test_value_and_gradient_are_those_at_the_end_of_the_step():
    opt = gl.chain(gl.sgd(1.0), gl.scale_by_hager_zhang_linesearch())
    ends, states = jax.jit(lambda x: descend(opt, x, 10))(jnp.asarray(VALLEY))
    values, gradients = jax.vmap(jax.value_and_grad(valley))(ends)
    np.testing.assert_allclose(states[1].value, values, rtol=1e-5)
    np.testing.assert_allclose(states[1].grad, gradients, rtol=1e-3, atol=1e-4)
    reusing = jax.jit(lambda x: descend(opt, x, 10, reuse=True))(jnp.asarray(VALLEY))[0]
    np.testing.assert_allclose(reusing[:4], ends[:4], rtol=1e-4)


def test_behind_lbfgs_it_minimises():
    direction = optax.chain(optax.scale_by_lbfgs(), optax.scale(-1.0))
    search = gl.scale_by_hager_zhang_linesearch(initial_guess_strategy="one")
    ends, _ = jax.jit(lambda x: descend(optax.chain(direction, search), x, 40))(jnp.asarray(VALLEY))
    assert jnp.linalg.norm(jax.grad(valley)(ends[-1])) < 1e-3
