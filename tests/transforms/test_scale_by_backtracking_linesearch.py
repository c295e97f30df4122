"""Backtracking: optax's numbers, as data, with the derivative of the step."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from tests.transforms import hard_rays
from tests.transforms.line_search_runs import VALLEY, along, assert_is_optax, descend, valley


@pytest.mark.parametrize(
    "settings",
    [
        {"store_grad": True},
        {"slope_rtol": 0.3, "decrease_factor": 0.5, "increase_factor": jnp.inf, "atol": 1e-3},
    ],
    ids=["stores", "restarts"],
)
def test_optax_gives_the_same_steps_and_states(settings):
    assert_is_optax(
        gl.scale_by_backtracking_linesearch(12, **settings),
        optax.scale_by_backtracking_linesearch(12, **settings),
    )


def test_the_objective_decreases_enough_on_hard_rays():
    opt = gl.scale_by_backtracking_linesearch(
        100, 0.1, increase_factor=1.0, max_learning_rate=jnp.inf
    )
    found = hard_rays.searched(opt)
    step, promised = found["step"], 0.1 * found["step"] * found["slope at zero"]
    assert np.all(found["value"] <= found["value at zero"] + promised)
    assert np.all(found["info"].decrease_error == 0)
    assert np.all(step > 0)
    # It is the first that does: the one before it, if there was one, does not.
    before = np.where(step < 0.99 * found["start"], step / 0.8, np.nan)
    with jax.enable_x64(True):
        value = np.asarray(hard_rays.value_of(jnp.asarray(before), found["which"]))
    shortened = np.isfinite(before)
    enough = value <= found["value at zero"] + 0.1 * before * found["slope at zero"]
    assert shortened.sum() > 10
    assert not np.any(enough[shortened])


def test_the_step_has_its_derivative():
    opt = gl.scale_by_backtracking_linesearch(
        20, 0.2, 0.4, 1.2, max_learning_rate=0.1, store_grad=True
    )

    def end(opt, x, reuse):
        return valley(descend(gl.chain(gl.sgd(1.0), opt), x, 4, reuse=reuse)[0][-1])

    with jax.enable_x64(True):
        x = jnp.asarray(VALLEY, jnp.float64)
        value = jax.jit(lambda opt, x: end(opt, x, False))
        for reuse in (False, True):
            by_opt, by_x = jax.jit(jax.grad(lambda *p, r=reuse: end(*p, r), (0, 1)))(opt, x)
            for name in ("decrease_factor", "increase_factor", "max_learning_rate"):
                at, h = gl.hyperparameters(opt)[name], 1e-6
                sides = [value(gl.replace(opt, {name: at + s * h}), x) for s in (1, -1)]
                expected = (sides[0] - sides[1]) / (2 * h)
                assert abs(expected) > 1e-3
                found = gl.hyperparameters(by_opt)[name]
                np.testing.assert_allclose(found, expected, rtol=1e-5)
            sides = [value(opt, x.at[1].add(s * 1e-6)) for s in (1, -1)]
            np.testing.assert_allclose(by_x[1], (sides[0] - sides[1]) / 2e-6, rtol=1e-5)


def test_without_a_bound_on_growth_derivatives_are_finite():
    opt = gl.scale_by_backtracking_linesearch(20, increase_factor=jnp.inf, max_learning_rate=0.1)

    def end(opt, x):
        return valley(descend(gl.chain(gl.sgd(1.0), opt), x, 3)[0][-1])

    by_opt, by_x = jax.jit(jax.grad(end, (0, 1)))(opt, jnp.asarray(VALLEY))
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves((by_opt, by_x)))
    assert by_opt.max_learning_rate != 0


def test_where_the_objective_is_not_finite_steps_are_shorter_or_none():
    opt = gl.scale_by_backtracking_linesearch(20)
    x, state = along(lambda x: -jnp.log(x) + x, opt, jnp.float32(2.0), jnp.float32(-8.0))
    assert 0 < x < 2
    assert state.info.decrease_error == 0
    nowhere, state = along(lambda x: jnp.where(x == 2, 2.0, jnp.nan) * x, opt, 2.0, -8.0)
    assert nowhere == 2
    assert state.learning_rate == 0
    assert state.info.decrease_error == jnp.inf


def test_an_ascent_direction_is_reported():
    opt = gl.scale_by_backtracking_linesearch(20)
    _, state = along(lambda x: x**2, opt, jnp.float32(1.0), jnp.float32(1.0))
    assert state.info.decrease_error > 0


def test_extra_arguments_reach_the_objective_by_name_and_others_pass():
    opt = gl.scale_by_backtracking_linesearch(20)

    def fn(x, data):
        return jnp.sum((x - data) ** 2)

    x, data = jnp.ones(2), jnp.zeros(2)
    value, grad = jax.value_and_grad(fn)(x, data)
    given = {"value": value, "grad": grad, "value_fn": fn, "data": data}
    for more in ({}, {"mask": 1}):
        updates, _ = opt.update(-grad, opt.init(x), x, **given, **more)
        assert fn(x + updates, data) < value
    open_ended = {**given, "value_fn": lambda x, **named: fn(x, **named)}
    key = jax.random.PRNGKey(0)
    again, _ = opt.update(-grad, opt.init(x), x, key=key, **open_ended)
    np.testing.assert_array_equal(again, updates)


def test_what_has_no_update_is_a_constant():
    opt = gl.scale_by_backtracking_linesearch(20, store_grad=True)

    def fn(p):
        return jnp.sum((p["a"] - p["b"]) ** 2)

    params = {"a": jnp.ones(2), "b": jnp.zeros(2)}
    value, grad = jax.value_and_grad(fn)(params)
    updates, state = opt.update(
        {"a": -grad["a"], "b": None}, opt.init(params), params, value=value, grad=grad, value_fn=fn
    )
    assert updates["b"] is None
    assert state.value == fn({**params, "a": params["a"] + updates["a"]})
    assert np.all(state.grad["b"] == -state.grad["a"])


def test_inside_of_a_group_it_searches_for_that_group():
    search = gl.chain(gl.sgd(1.0), gl.scale_by_backtracking_linesearch(20))
    opt = gl.partition({"searched": search, "fixed": gl.sgd(0.1)}, {"a": "searched", "b": "fixed"})

    def fn(p):
        return jnp.sum(9 * (p["a"] - 1) ** 2) + jnp.sum(p["b"] ** 2)

    params = {"a": jnp.zeros(2), "b": jnp.ones(3)}
    value, grad = jax.value_and_grad(fn)(params)
    updates, _ = opt.update(grad, opt.init(params), params, value=value, grad=grad, value_fn=fn)
    np.testing.assert_allclose(updates["b"], -0.2, rtol=1e-6)
    assert np.all((updates["a"] > 0) & (updates["a"] < 2))


def test_narrow_parameters_are_searched_along_in_float32():
    opt = gl.scale_by_backtracking_linesearch(30, store_grad=True)
    x = jnp.ones(3, jnp.bfloat16)
    state = opt.init(x)
    assert state.learning_rate.dtype == state.value.dtype == jnp.float32
    assert state.grad.dtype == jnp.bfloat16
    end, state = along(lambda x: 20 * jnp.sum(x.astype(jnp.float32) ** 2), opt, x, -40 * x)
    assert end.dtype == jnp.bfloat16
    assert state.info.decrease_error == 0
    assert state.learning_rate < 0.05
