"""The spectrum is that of the product of Jacobians, and its verdict fits what gradients do."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from gradlab.testing._subject import compiled_once

MATRIX = 0.5 * np.random.default_rng(0).normal(size=(5, 5))


def logistic(x, rate=3.9):
    return rate * x * (1 - x)


def test_singular_values_are_those_of_the_product():
    with jax.enable_x64(True):
        found = gl.meta.jacobian_spectrum(lambda x: MATRIX @ x, jnp.ones(5), 6)
    product = np.linalg.matrix_power(MATRIX, 6)
    expected = np.log(np.linalg.svd(product, compute_uv=False))
    np.testing.assert_allclose(found.singular_values, expected, rtol=1e-9)
    norms = [np.linalg.norm(np.linalg.matrix_power(MATRIX, t), 2) for t in range(1, 7)]
    np.testing.assert_allclose(found.growth, np.log(norms), rtol=1e-9)


def test_exponents_are_logarithms_of_eigenvalues_in_the_long_run():
    with jax.enable_x64(True):
        found = gl.meta.jacobian_spectrum(lambda x: MATRIX @ x, jnp.ones(5), 2000)
        three = gl.meta.jacobian_spectrum(lambda x: MATRIX @ x, jnp.ones(5), 2000, directions=3)
    expected = np.sort(np.log(np.abs(np.linalg.eigvals(MATRIX))))[::-1]
    np.testing.assert_allclose(found.exponents, expected, atol=2e-3)
    np.testing.assert_allclose(three.exponents, expected[:3], atol=2e-3)


def test_the_jacobian_is_taken_where_the_state_is():
    # At rate 4 the exponent of the logistic map is log 2, and no fixed point has it.
    found = gl.meta.jacobian_spectrum(functools.partial(logistic, rate=4.0), 0.3, 20_000)
    assert abs(float(found.exponents[0]) - np.log(2)) < 0.02


def test_inputs_are_read_step_by_step_and_counts_go_along():
    factors = jnp.array([2.0, 3.0, 0.5])

    def step(state, factor):
        return {"x": factor * state["x"], "count": state["count"] + 1}

    state = {"x": jnp.ones(2), "count": jnp.array(0)}
    found = gl.meta.jacobian_spectrum(step, state, 3, inputs=factors)
    np.testing.assert_allclose(found.growth, np.log([2.0, 6.0, 3.0]), rtol=1e-5)
    np.testing.assert_allclose(found.singular_values, np.log([3.0, 3.0]), rtol=1e-5)


def verdict(step, state, steps, **settings):
    return gl.meta.jacobian_spectrum(step, state, steps, **settings)


def test_a_chaotic_unroll_is_called_useless_and_says_from_when_on():
    found = verdict(logistic, 0.3, 200)
    assert found.useless
    assert not found.vanishes
    assert "useless" in found.verdict
    assert f"fewer than {found.horizon} steps" in found.verdict
    short = verdict(logistic, 0.3, found.horizon - 1)
    assert not short.useless
    assert "can be used" in short.verdict


def test_a_calm_unroll_can_be_used():
    found = verdict(lambda x: 0.99 * x, 1.0, 100)
    assert (found.useless, found.vanishes, found.horizon) == (False, False, None)
    assert "can be used: " in found.verdict


def test_an_unroll_that_forgets_is_told_of():
    for step in (lambda x: 0.5 * x, lambda x: 0 * x):
        found = verdict(step, 1.0, 100)
        assert found.vanishes
        assert not found.useless
        assert "does not reach its beginning" in found.verdict


def test_a_passing_rise_is_no_chaos():
    # Not normal: it swings out by a thousand and comes back.
    found = verdict(lambda x: jnp.array([[0.5, 9000.0], [0.0, 0.5]]) @ x, jnp.ones(2), 60)
    assert found.horizon == 1
    assert not found.useless
    assert "not for good" in found.verdict


def test_what_is_not_finite_is_useless():
    assert "not finite" in verdict(lambda x: x**4, 3.0, 60).verdict


def test_sgd_past_the_edge_of_stability_is_useless_and_before_it_is_not():
    opt = gl.sgd(1.0)

    def train(rate):
        def step(state):
            x, inner = state
            gradient = jax.grad(lambda x: jnp.sum(jnp.sin(3 * x) + 0.1 * x**2))(x)
            updates, inner = gl.replace(opt, learning_rate=rate).update(gradient, inner, x)
            return gl.apply_updates(x, updates), inner

        return step

    state = jnp.array([0.3, -1.0]), opt.init(jnp.zeros(2))
    assert not verdict(train(0.1), state, 100).useless
    assert verdict(train(0.9), state, 100).useless


def test_where_the_spectrum_says_useless_plain_gradients_explode_and_persistent_ones_do_not():
    steps, theta = 24, jnp.float32(0.7)

    class Descent:
        """Gradient descent on a bumpy valley; theta is the learning rate."""

        def init(self, theta, key):
            return jax.random.uniform(key, (2,), minval=-1.0)

        def step(self, theta, x, key):
            value, slope = jax.value_and_grad(lambda x: jnp.sum(jnp.sin(3 * x) + 0.1 * x**2))(x)
            return x - theta * slope, value / steps

    problem = Descent()
    first = problem.init(theta, jax.random.key(0))
    assert verdict(lambda x: problem.step(theta, x, None)[0], first, steps).useless

    def total(theta, key):
        def body(x, _):
            return problem.step(theta, x, None)

        return jax.lax.scan(body, problem.init(theta, key), None, length=steps)[1].sum()

    keys = jax.random.split(jax.random.key(1), 200)
    values, plain = compiled_once(jax.vmap(jax.value_and_grad(total), (None, 0)))(theta, keys)
    assert float(jnp.ptp(values)) < 10  # the loss itself is harmless
    assert float(jnp.median(jnp.abs(plain))) > 1e6
    strategy = gl.meta.persistent_evolution_strategies(0.05, 8, steps=steps, truncation=4)

    def estimates(key):
        def body(state, key):
            found, state = strategy.estimate(problem, theta, state, key)
            return state, found.gradient

        return jax.lax.scan(body, strategy.init(problem, theta, key), jax.random.split(key, 6))[1]

    persistent = compiled_once(jax.vmap(estimates))(keys).sum(1)
    assert float(jnp.max(jnp.abs(persistent))) < 1e3
    # It points where the smoothed loss falls: down, towards smaller rates.
    mean, error = float(persistent.mean()), float(persistent.std()) / 200**0.5
    assert mean > 3 * error


def test_bad_input_is_named():
    for settings, words in (
        ({"steps": 0}, "steps=0: expected an integer of at least 1"),
        ({"directions": 0}, "directions=0: expected an integer of at least 1"),
        ({"limit": 1.0}, r"limit=1\.0 is outside \(1, inf\)"),
        ({"inputs": {"a": jnp.ones(3)}}, r"inputs\['a'\] has the shape \(3,\)"),
        ({"state": jnp.arange(3)}, "no real numbers"),
    ):
        with pytest.raises(ValueError, match=words):
            gl.meta.jacobian_spectrum(
                **{"step": lambda x, *_: x, "state": jnp.ones(2), "steps": 4, **settings}
            )
    with pytest.raises(TypeError, match="changes structure"):
        gl.meta.jacobian_spectrum(lambda x: x[:1], jnp.ones(2), 4)
