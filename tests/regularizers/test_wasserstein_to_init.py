"""Distance to the initial distribution: the paper's numbers, freedom to permute, states."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from tests.paper.wasserstein_to_init import transport_cost
from tests.paper.wasserstein_to_init import wasserstein_to_init as paper


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def test_the_value_is_the_papers():
    with jax.enable_x64(True):
        before, now = ([draw(4, 3, seed=s), draw(5, seed=s + 1)] for s in (0, 2))
        penalty = gl.wasserstein_to_init(0.3)
        found = penalty(list(map(jnp.asarray, now)), penalty.init(list(map(jnp.asarray, before))))
        np.testing.assert_allclose(found, paper(now, before, weight=0.3), rtol=1e-10)


def test_it_is_the_least_cost_of_moving_one_set_of_weights_to_the_other():
    with jax.enable_x64(True):
        before, now = draw(6), draw(6, seed=1)
        penalty = gl.wasserstein_to_init(1.0)
        found = penalty(jnp.asarray(now), penalty.init(jnp.asarray(before)))
        np.testing.assert_allclose(found, transport_cost(now, before), rtol=1e-12)


def test_weights_may_change_places_within_a_layer_but_not_between_layers():
    params = {"a": jnp.asarray(draw(4, 3)), "b": jnp.asarray(draw(4, 3, seed=1))}
    penalty = gl.wasserstein_to_init(1.0)
    state = penalty.init(params)
    permuted = {"a": params["a"].ravel()[::-1].reshape(4, 3), "b": params["b"][::-1]}
    assert float(penalty(permuted, state)) == 0
    assert all(np.all(g == 0) for g in jax.tree.leaves(jax.grad(penalty)(permuted, state)))
    assert float(penalty({"a": params["b"], "b": params["a"]}, state)) > 0


def test_descending_it_restores_the_distribution_not_the_weights():
    start = jnp.asarray(draw(50), jnp.float32)
    penalty = gl.wasserstein_to_init(1.0)
    state = penalty.init(start)
    x = jnp.asarray(5 + 2 * draw(50, seed=1), jnp.float32)
    for _ in range(60):
        x = x - 0.25 * jax.grad(penalty)(x, state)
    np.testing.assert_allclose(jnp.sort(x), jnp.sort(start), atol=1e-4)
    assert np.max(np.abs(x - start)) > 1


def test_equal_weights_and_zeros_have_finite_gradients():
    penalty = gl.wasserstein_to_init(1.0)
    state = penalty.init(jnp.asarray(draw(4)))
    slope = jax.grad(penalty)(jnp.zeros(4), state)
    assert np.all(np.isfinite(slope))
    np.testing.assert_allclose(jnp.sum(slope), -2 * np.sum(draw(4)), rtol=1e-5)


def test_scanned_layers_are_sorted_one_by_one():
    kernels = jnp.asarray(draw(3, 4, 2))
    penalty = gl.wasserstein_to_init(1.0, stack_axes=1)
    state = penalty.init({"k": kernels})
    assert float(penalty({"k": kernels[:, ::-1]}, state)) == 0
    assert float(penalty({"k": kernels[::-1]}, state)) > 0


def test_narrow_parameters_are_kept_in_float32_and_never_by_alias():
    params = {"w": jnp.arange(3, dtype=jnp.bfloat16)}
    (kept,) = gl.wasserstein_to_init().init(params).initial
    assert kept.dtype == jnp.float32
    wide = {"w": jnp.arange(3.0)}
    assert gl.wasserstein_to_init().init(wide).initial[0] is not wide["w"]


def test_bad_input_says_what_is_wrong():
    penalty = gl.wasserstein_to_init()
    with pytest.raises(
        ValueError, match=r"wasserstein_to_init: weight=-1\.0 is outside \[0, inf\)"
    ):
        gl.wasserstein_to_init(-1.0)
    with pytest.raises(ValueError, match=r"wasserstein_to_init: .*\(3,\).*\(4,\)"):
        penalty(jnp.ones(3), penalty.init(jnp.ones(4)))
    with pytest.raises(TypeError, match="complex parameters have no order"):
        penalty.init(jnp.ones(3, jnp.complex64))
    with pytest.raises(TypeError, match="state"):
        penalty(jnp.ones(3))
