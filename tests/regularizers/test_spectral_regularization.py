"""Spectral regularization: the paper's numbers, singular values near one, states, zeros."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from tests.paper.spectral_regularization import spectral_regularization as paper


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def parameters():
    return {
        "conv": jnp.asarray(draw(3, 3, 2, 5)),
        "dense": jnp.asarray(draw(6, 4)),
        "bias": jnp.ones(4),
    }


def with_singular_values(*sizes):
    u, vt = np.linalg.qr(draw(6, 4))[0], np.linalg.qr(draw(4, 4, seed=1))[0]
    return jnp.asarray(u @ np.diag(sizes) @ vt, jnp.float32)


def test_three_steps_with_a_state_are_the_papers():
    with jax.enable_x64(True):
        params = parameters()
        penalty = gl.spectral_regularization(0.3, 1.5, num_iters=1)
        state = penalty.init(params)
        vectors = [np.asarray(v)[0] for v in state.vectors]
        for t in range(3):
            params = jax.tree.map(lambda x, t=t: x + 0.1 * t, params)
            matrices = [
                np.asarray(params[k]).reshape(-1, params[k].shape[-1]) for k in ("conv", "dense")
            ]
            loss, vectors = paper(matrices, vectors, weight=0.3, power=1.5)
            np.testing.assert_allclose(penalty(params, state), loss, rtol=1e-10)
            state = penalty.advance(params, state)
            for ours, theirs in zip(state.vectors, vectors, strict=True):
                np.testing.assert_allclose(ours[0], theirs, rtol=1e-10)


def test_a_wide_matrix_is_penalised_as_its_transpose():
    with jax.enable_x64(True):
        penalty, wide = gl.spectral_regularization(1.0), jnp.asarray(draw(3, 7))
        np.testing.assert_allclose(penalty(wide), penalty(wide.T), rtol=1e-12)


def test_with_enough_iterations_it_is_that_of_the_singular_value():
    with jax.enable_x64(True):
        x = jnp.asarray(draw(6, 4))
        sizes = np.linalg.svd(x, compute_uv=False)
        u, _, vt = np.linalg.svd(x)
        penalty = gl.spectral_regularization(1.0, num_iters=200)
        value, slope = jax.value_and_grad(penalty)(x)
        np.testing.assert_allclose(value, (sizes[0] ** 2 - 1) ** 2, rtol=1e-10)
        expected = 4 * (sizes[0] ** 2 - 1) * sizes[0] * np.outer(u[:, 0], vt[0])
        np.testing.assert_allclose(slope, expected, rtol=1e-6, atol=1e-8)


def test_descending_it_brings_the_largest_singular_value_to_one_and_leaves_small_ones():
    x = with_singular_values(3.0, 2.0, 0.5, 0.1)
    penalty = gl.spectral_regularization(1.0, num_iters=1)

    @jax.jit
    def step(x, state):
        return x - 0.01 * jax.grad(penalty)(x, state), penalty.advance(x, state)

    state = penalty.init(x)
    for _ in range(500):
        x, state = step(x, state)
    sizes = np.linalg.svd(x, compute_uv=False)
    np.testing.assert_allclose(sizes[:2], 1, atol=0.02)
    np.testing.assert_allclose(sizes[2:], [0.5, 0.1], atol=1e-3)


def test_without_a_state_one_that_stands_out_is_brought_to_one():
    x = with_singular_values(3.0, 0.8, 0.5, 0.1)
    step = jax.jit(lambda x: x - 0.01 * jax.grad(gl.spectral_regularization(1.0))(x))
    for _ in range(300):
        x = step(x)
    np.testing.assert_allclose(np.linalg.svd(x, compute_uv=False), [1.0, 0.8, 0.5, 0.1], atol=0.02)


def test_one_iteration_a_step_follows_the_singular_value():
    penalty, params = (
        gl.spectral_regularization(1.0, num_iters=1),
        {"w": jnp.asarray(draw(6, 4), jnp.float32)},
    )
    state = penalty.init(params)
    step = jax.jit(lambda s: (penalty(params, s), penalty.advance(params, s)))
    values = []
    for _ in range(60):
        value, state = step(state)
        values.append(float(value))
    exact = (np.linalg.svd(params["w"], compute_uv=False)[0] ** 2 - 1) ** 2
    assert abs(values[0] - exact) > 0.1 * exact
    np.testing.assert_allclose(values[-1], exact, rtol=1e-4)


def test_gains_are_kept_near_one_and_biases_near_zero_when_they_are_named():
    params = {"w": jnp.eye(3), "gain": jnp.array([1.0, 2.0]), "bias": jnp.array([3.0, 4.0])}
    named = {
        "gains": gl.by_path({True: "gain"}, False),
        "biases": gl.by_path({True: "bias"}, False),
    }
    plain, both = gl.spectral_regularization(1.0), gl.spectral_regularization(1.0, **named)
    np.testing.assert_allclose(plain(params), 0, atol=1e-10)
    np.testing.assert_allclose(both(params), (2.0**2 - 1) ** 2 + 5.0**4, rtol=1e-6)
    zeros = jax.tree.map(jnp.zeros_like, params)
    slopes = jax.grad(both)(zeros)
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(slopes))


def test_a_stack_of_layers_is_the_sum_over_layers():
    kernels = jnp.asarray(draw(3, 4, 2), jnp.float32)
    penalty = gl.spectral_regularization(0.5)
    stacked = gl.spectral_regularization(0.5, stack_axes=1)(
        {"kernel": kernels, "bias": kernels[:, 0]}
    )
    np.testing.assert_allclose(stacked, sum(map(penalty, kernels)), rtol=1e-5)


@pytest.mark.parametrize("power", [1.0, 1.5, 2.0, 3.0])
def test_a_zero_matrix_costs_one_and_has_finite_second_derivatives(power):
    penalty, zero = gl.spectral_regularization(1.0, power), jnp.zeros((3, 2))
    assert float(penalty(zero)) == 1
    slope, second = jax.jvp(jax.grad(penalty), (zero,), (jnp.ones((3, 2)),))
    np.testing.assert_array_equal(slope, 0)
    assert np.all(np.isfinite(second))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": -1.0}, r"weight=-1\.0 is outside \[0, inf\)"),
        ({"power": 0.5}, r"power=0\.5 is outside \[1, inf\)"),
        ({"num_iters": 0}, "num_iters=0: .*at least 1"),
    ],
)
def test_bad_input_names_argument_value_and_bound(arguments, message):
    with pytest.raises(ValueError, match=f"spectral_regularization: {message}"):
        gl.spectral_regularization(**arguments)


def test_a_state_of_other_parameters_is_refused():
    penalty = gl.spectral_regularization()
    with pytest.raises(ValueError, match="spectral_regularization: the state holds vectors"):
        penalty({"w": jnp.ones((5, 4))}, penalty.init({"w": jnp.ones((3, 2))}))
