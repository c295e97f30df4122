"""UPGrad: the paper's numbers, no conflicts, any scale, and derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from tests.paper.upgrad import upgrad as paper
from tests.reference.load import curves


@pytest.mark.parametrize("curve", curves("upgrad"), ids=lambda c: c.name)
def test_the_paper_and_torchjd(curve):
    with jax.enable_x64(True):
        dependent = np.linalg.matrix_rank(curve.gradients[0]) < len(curve.gradients[0])
        for settings in (curve.settings, {}) if dependent else (curve.settings,):
            opt = gl.upgrad(**settings)
            update = jax.jit(lambda g, opt=opt: opt.update(g, opt.init(g[0]))[0])
            for stack, expected in zip(curve.gradients, curve.updates, strict=True):
                ours = update(jnp.asarray(stack))
                np.testing.assert_allclose(
                    ours, paper(stack, **settings), rtol=1e-8, atol=1e-9 * np.abs(stack).max()
                )
                if settings:
                    np.testing.assert_allclose(ours, expected, rtol=curve.rtol, atol=curve.atol)


@jax.jit
def aggregate(stack):
    opt = gl.upgrad()
    return opt.update(stack, opt.init(stack[0]))[0]


def stacks(scales=False):
    draw = np.random.default_rng(0)
    base = draw.normal(size=(8, 8, 20)) - 0.2
    base[1, 1] = base[1, 0]
    base[2, 1] = -base[2, 0]
    base[3, 4:] = base[3, :4]
    base[4, 2] = 0
    base[5] -= base[5].mean(0)
    if scales:
        base *= 10.0 ** draw.uniform(-12, 12, (8, 8, 1))
    return base.astype(np.float32)


@pytest.mark.parametrize("scales", [False, True])
def test_the_result_conflicts_with_no_objective(scales):
    for stack in stacks(scales):
        u = np.asarray(aggregate(stack), np.float64)
        norms = np.linalg.norm(stack.astype(np.float64), axis=1) + 1e-300
        along = (stack.astype(np.float64) @ u) / norms
        # Where all gradients sum to zero, the result is the rounding of the largest.
        rounding = np.finfo(np.float32).eps * norms.max()
        assert along.min() >= -max(1e-5 * np.linalg.norm(u), rounding)


def test_it_is_linear_under_scaling():
    # Each projection scales with its own gradient and no other.
    stack = stacks()[0]
    parts = [aggregate(stack * np.where(np.arange(8) == i, 1, 1e-12)[:, None]) for i in range(8)]
    np.testing.assert_allclose(np.sum(parts, axis=0), aggregate(stack), rtol=1e-3, atol=1e-4)


def test_preferences_and_thresholds():
    stack = jnp.array([[1.0, 0.0], [0.0, 1.0]])
    opt = gl.upgrad([0.25, 2.0])
    assert gl.hyperparameters(opt) == {
        "pref_vector[0]": 0.25,
        "pref_vector[1]": 2.0,
        "reg_eps": 0.0,
    }
    np.testing.assert_allclose(opt.update(stack, opt.init(stack[0]))[0], [0.25, 2.0])
    with pytest.raises(ValueError, match=r"2,.*3 objectives"):
        opt.update(jnp.ones((3, 2)), opt.init(stack[0]))
    conflict = jnp.array([[1.0, 0.0], [-1.0, 1.0]])
    still = gl.upgrad(norm_eps=10.0)
    np.testing.assert_allclose(still.update(conflict, opt.init(stack[0]))[0], [0.0, 0.5])
    with pytest.raises(ValueError, match="norm_eps"):
        gl.upgrad(norm_eps=-1.0)


def test_one_objective_is_left_as_it_is():
    np.testing.assert_allclose(aggregate(jnp.array([[3.0, -4.0]])), [3.0, -4.0], rtol=1e-6)


def test_derivatives_equal_finite_differences_and_are_finite_at_zero():
    draw = np.random.default_rng(1)
    opt = gl.upgrad([0.2, 0.5, 0.3], reg_eps=1e-2)

    def value(opt, stack):
        return jnp.sum(jnp.sin(opt.update(stack, opt.init(stack[0]))[0]))

    with jax.enable_x64(True):
        stack = jnp.asarray(draw.normal(size=(3, 4)) - 0.3)
        direction = jnp.asarray(draw.normal(size=(3, 4)))
        leaves = gl.as_arrays(opt)
        by_opt, by_stack = jax.jit(jax.grad(value, argnums=(0, 1)))(leaves, stack)
        run, h = jax.jit(value), 1e-6
        ahead, behind = (run(leaves, stack + s * h * direction) for s in (1, -1))
        np.testing.assert_allclose(
            jnp.sum(by_stack * direction), (ahead - behind) / 2e-6, rtol=1e-6
        )
        for path, slope in gl.hyperparameters(by_opt).items():
            x = gl.hyperparameters(opt)[path]
            up, down = (
                run(gl.as_arrays(gl.replace(opt, {path: x + s * h})), stack) for s in (1, -1)
            )
            np.testing.assert_allclose(slope, (up - down) / 2e-6, rtol=1e-5, err_msg=path)
        zero = jnp.zeros((3, 4))
        slopes = jax.jit(jax.grad(value, argnums=(0, 1)))(leaves, zero)
        assert all(jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(slopes))
        assert run(leaves, zero) == 0


def test_a_stack_of_optimizers_and_one_trace():
    traces = 0

    def update(opt, stack):
        nonlocal traces
        traces += 1
        return opt.update(stack, opt.init(stack[0]))[0]

    stack = jnp.asarray(stacks()[0])
    opts = [gl.upgrad(reg_eps=eps) for eps in (0.0, 1e-3, 1e-1)]
    run = jax.jit(update)
    looped = jnp.stack([run(opt, stack) for opt in opts])
    assert traces == 1
    mapped = jax.vmap(run, (0, None))(gl.stack(opts), stack)
    np.testing.assert_allclose(mapped, looped, rtol=1e-4, atol=1e-5)
