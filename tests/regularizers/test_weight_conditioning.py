"""Weight conditioning: the paper's numbers, condition numbers, and training through it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from tests.paper.weight_conditioning import weight_conditioning as paper


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def badly_scaled(seed=0):
    """A kernel of five inputs and four outputs, whose columns have very different sizes."""
    return draw(5, 4, seed=seed) * 10.0 ** np.array([-2, -1, 1, 2])


@pytest.mark.parametrize("shape", [(5, 4), (3, 3, 2, 4)])
def test_the_weights_are_the_papers(shape):
    kernel = draw(*shape)
    with jax.enable_x64(True):
        found = gl.weight_conditioning()({"kernel": jnp.asarray(kernel)})["kernel"]
    rows = kernel.reshape(-1, shape[-1]).T
    np.testing.assert_allclose(found.reshape(-1, shape[-1]).T, paper(rows), rtol=1e-10)


def test_inputs_instead_of_outputs_are_the_rows_of_the_transpose():
    kernel = draw(5, 4)
    with jax.enable_x64(True):
        found = gl.weight_conditioning(units="inputs")(jnp.asarray(kernel))
    np.testing.assert_allclose(found, paper(kernel), rtol=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_badly_scaled_rows_get_a_condition_number_near_the_best(seed):
    kernel = badly_scaled(seed)
    found = np.linalg.cond(gl.weight_conditioning()(jnp.asarray(kernel)))
    assert found < 0.05 * np.linalg.cond(kernel)
    scales = 10.0 ** np.random.default_rng(seed).uniform(-3, 3, size=(500, 1, 4))
    assert found <= np.sqrt(4) * np.min(np.linalg.cond(kernel * scales))


def test_it_changes_nothing_twice_and_nothing_but_matrices():
    params = {"kernel": jnp.asarray(badly_scaled()), "bias": jnp.ones(4), "steps": jnp.arange(3)}
    condition = gl.weight_conditioning()
    once = condition(params)
    np.testing.assert_allclose(condition(once)["kernel"], once["kernel"], rtol=1e-6)
    assert once["bias"] is params["bias"]
    assert once["steps"] is params["steps"]
    free = gl.weight_conditioning(mask={"kernel": False, "bias": False, "steps": False})
    with pytest.raises(ValueError, match="selects none"):
        free(params)


def test_scanned_layers_are_conditioned_one_by_one():
    kernels = jnp.asarray(draw(3, 5, 4))
    found = gl.weight_conditioning(stack_axes=1)({"k": kernels, "b": kernels[:, 0]})
    np.testing.assert_allclose(found["k"], jax.vmap(gl.weight_conditioning())(kernels), rtol=1e-6)
    np.testing.assert_array_equal(found["b"], kernels[:, 0])


def test_a_unit_of_zeros_stays_zero_with_a_finite_gradient():
    kernel = jnp.asarray(draw(5, 4)).at[:, 1].set(0)
    condition = gl.weight_conditioning()
    np.testing.assert_array_equal(condition(kernel)[:, 1], 0)
    slope = jax.grad(lambda w: jnp.sum(jnp.sin(condition(w))))(kernel)
    assert np.all(np.isfinite(slope))
    np.testing.assert_array_equal(slope[:, 1], 0)


def test_the_gradient_goes_through_and_is_orthogonal_to_the_weights():
    kernel, x = jnp.asarray(badly_scaled(), jnp.float32), jnp.asarray(draw(8, 5), jnp.float32)
    condition = gl.weight_conditioning()
    slope = jax.grad(lambda w: jnp.sum(jnp.tanh(x @ condition(w)) ** 2))(kernel)
    assert np.all(np.linalg.norm(slope, axis=0) > 0)
    along = jnp.sum(slope * kernel, axis=0) / jnp.linalg.norm(slope, axis=0)
    np.testing.assert_allclose(along / jnp.linalg.norm(kernel, axis=0), 0, atol=1e-5)


def test_half_precision_norms_do_not_overflow():
    kernel = jnp.full((4, 3), 300.0, jnp.float16)
    found = gl.weight_conditioning()(kernel)
    assert found.dtype == jnp.float16
    np.testing.assert_allclose(found, 0.5, rtol=1e-3)


def test_bad_input_names_argument_and_bound():
    with pytest.raises(
        ValueError, match=r"weight_conditioning: units='rows': .*'outputs', 'inputs'"
    ):
        gl.weight_conditioning(units="rows")
    with pytest.raises(ValueError, match=r"\['bias'\].*at least 2 axes"):
        gl.weight_conditioning(mask={"bias": True})({"bias": jnp.ones(3)})
