"""What the transformations settle on is what the optimality maps of `gl.meta` describe."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from gradlab.testing._subject import compiled_once
from tests.optimizers.proximal.test_proximal import STEP, descended, squares

START = np.array([0.1, -0.2, 0.3, 0.2, -0.1, 0.05])
PRECISE = gl.meta.linear_solver("gmres", tolerance=1e-12)


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def lasso(y, step_size, l1reg):
    return gl.prox.prox_lasso(y, l1reg, step_size)


def simplex_mirror(objective):
    """Mirror descent on the simplex, by its dual map and the softmax."""
    return gl.meta.mirror_descent(objective, jnp.log, jax.nn.softmax, STEP)


def test_the_transformations_and_the_maps_have_names_of_their_own():
    for name in ("proximal_gradient", "projected_gradient", "mirror_descent"):
        assert vars(gl)[name] is gl.catalog.get(name).function
        assert getattr(gl.meta, name) is not getattr(gl, name)


@pytest.mark.parametrize(
    ("opt", "mapped"),
    [
        (
            gl.proximal_gradient(STEP, strength=1.5),
            lambda w: gl.meta.proximal_gradient(squares, lasso, STEP, prox_args=lambda: (1.5,))(w),
        ),
        (
            gl.proximal_gradient(STEP, strength=1.5, acceleration=True, restart=True),
            lambda w: gl.meta.proximal_gradient(squares, lasso, STEP, prox_args=lambda: (1.5,))(w),
        ),
        (
            gl.projected_gradient(STEP, gl.projections.projection_l2_ball, 0.3),
            lambda w: gl.meta.projected_gradient(
                squares, gl.projections.projection_l2_ball, STEP, lambda: (0.3,)
            )(w),
        ),
    ],
    ids=["proximal", "accelerated", "projected"],
)
def test_a_fixed_point_of_one_is_a_fixed_point_of_the_other(opt, mapped):
    w, state = compiled_once(lambda w: descended(opt, squares, w, 3000))(jnp.asarray(START))
    np.testing.assert_allclose(mapped(w), w, atol=1e-9)
    update, _ = opt.update(jax.grad(squares)(w), state, w)
    np.testing.assert_allclose(update, 0, atol=1e-9)


def test_one_step_of_each_is_the_map():
    w = jnp.abs(jnp.asarray(START)) / np.abs(START).sum()
    opt = gl.mirror_descent(STEP, projection=gl.projections.kl_projection_simplex)
    update, _ = opt.update(jax.grad(squares)(w), opt.init(w), w)
    np.testing.assert_allclose(w + update, simplex_mirror(squares)(w), atol=1e-12)


def test_the_implicit_derivative_of_a_lasso_path_equals_differences():
    condition = gl.meta.proximal_gradient(
        lambda w, weight: squares(w), lasso, STEP, prox_args=lambda weight: (weight,)
    )

    @gl.meta.custom_fixed_point(condition, solver=PRECISE)
    def solution(start, weight):
        opt = gl.proximal_gradient(STEP, strength=weight)
        return descended(opt, squares, start, 4000)[0]

    path = compiled_once(lambda weight: solution(jnp.asarray(START), weight))
    slope = compiled_once(jax.jacrev(lambda weight: solution(jnp.asarray(START), weight)))
    for weight in (0.4, 1.5, 3.0):  # other numbers of zeros
        h = 1e-5
        wanted = (path(weight + h) - path(weight - h)) / (2 * h)
        np.testing.assert_allclose(slope(weight), wanted, rtol=1e-6, atol=1e-9)
    zeros = [int(jnp.sum(path(weight) == 0)) for weight in (0.4, 1.5, 3.0)]
    assert zeros[0] < zeros[-1]
