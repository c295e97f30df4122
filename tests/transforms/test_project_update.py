"""Projected updates: guidance of the paper, its parts one by one, and the identity."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from tests import agreement
from tests.paper.project_update import guided


@pytest.mark.parametrize("momentum", [-0.75, 0.0, 0.5])
@pytest.mark.parametrize("shape", [(12,), (3, 4)])
def test_paper(shape, momentum):
    settings = {"parallel": 0.3, "max_norm": 2.0, "momentum": momentum}
    agreement.assert_matches_paper(
        gl.project_update(**settings), "project_update", shape=shape, atol=1e-12, **settings
    )


def test_a_batch_of_images_is_guided_as_in_the_paper():
    rng = np.random.default_rng(1)
    conditional, unconditional = rng.normal(size=(2, 5, 4, 4, 3))
    opt = gl.chain(gl.project_update(0.2, 2.5, -0.5), gl.scale(7.5 - 1))
    with jax.enable_x64(True):
        state = jax.vmap(opt.init)(jnp.asarray(conditional))
        averages = np.zeros_like(conditional)
        for _ in range(3):
            difference = conditional - unconditional
            updates, state = jax.vmap(opt.update)(difference, state, conditional)
            rows = [
                guided(*row, scale=7.5, eta=0.2, radius=2.5, beta=-0.5)
                for row in zip(conditional, difference, averages, strict=True)
            ]
            expected, averages = (np.stack(part) for part in zip(*rows, strict=True))
            np.testing.assert_allclose(conditional + updates, expected, rtol=1e-10)
            unconditional = unconditional * 0.9 + 0.1


def test_nothing_asked_for_is_the_identity():
    agreement.assert_same_numbers(gl.project_update(1.0), gl.identity())


def test_without_the_part_along_the_parameters_it_is_the_orthogonal_gradient():
    agreement.assert_same_numbers(gl.project_update(0.0), gl.orthogonal_to_params())


def test_all_along_the_parameters_is_scaled():
    x = jnp.array([1.0, -2.0])
    found, _ = gl.project_update(0.25).update(4 * x, gl.project_update().init(x), x)
    np.testing.assert_allclose(found, x, rtol=1e-6)


def test_negative_momentum_moves_away_from_the_last_update():
    opt, x, g = gl.project_update(1.0, momentum=-0.5), jnp.ones(2), jnp.array([1.0, 3.0])
    _, state = opt.update(g, opt.init(x), x)
    np.testing.assert_allclose(opt.update(jnp.zeros(2), state, x)[0], -0.5 * g)


def test_parameters_and_updates_of_zero_give_finite_numbers():
    opt, zero = gl.project_update(0.0, 1.0), jnp.zeros(3)

    def total(g, x, radius):
        changed = gl.replace(opt, max_norm=radius)
        return changed.update(g, changed.init(x), x)[0].sum()

    slopes = jax.grad(total, (0, 1, 2))(zero, zero, 1.0)
    assert all(jnp.isfinite(s).all() for s in slopes)
    np.testing.assert_array_equal(slopes[0], 1)


def test_the_sum_can_be_narrow_and_parameters_are_needed():
    x = jnp.ones(3, jnp.bfloat16)
    assert gl.project_update().init(x).trace.dtype == jnp.float32
    opt = gl.project_update(accumulator_dtype=jnp.bfloat16)
    assert opt.init(x).trace.dtype == jnp.bfloat16
    with pytest.raises(ValueError, match="project_update: update needs the parameters"):
        opt.update(x, opt.init(x))
    with pytest.raises(ValueError, match=r"momentum=-1.0 is outside \(-1, 1\)"):
        gl.project_update(momentum=-1.0)
