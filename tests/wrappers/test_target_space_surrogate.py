"""The surrogate in target space: the paper's numbers, its bound, and its cost."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from tests.paper.target_space_surrogate import target_space_surrogate as paper

DRAW = np.random.default_rng(2)
INPUTS, TARGETS, START = DRAW.normal(size=(9, 4)), DRAW.normal(size=9), DRAW.normal(size=4)
INNER = {"learning_rate": 0.02, "momentum": 0.5}


def outputs(x):
    return np.tanh(INPUTS @ x)


def jacobian(x):
    return (1 - outputs(x) ** 2)[:, None] * INPUTS


def output_gradient(z):
    return z - TARGETS + np.sin(z)


def output_fn(x):
    return jnp.tanh(jnp.asarray(INPUTS, x.dtype) @ x)


def output_loss(z):
    return jnp.sum((z - jnp.asarray(TARGETS, z.dtype)) ** 2 / 2 - jnp.cos(z))


def loss(x):
    return output_loss(output_fn(x))


def run(opt, x, steps, handed=True):
    def step(carry, _):
        x, state = carry
        slope = jax.grad(output_loss)(output_fn(x))
        first = jax.grad(loss)(x) if handed else None
        updates, state = opt.update(first, state, x, output_fn=output_fn, output_grad=slope)
        return (x + updates, state), updates

    start = jnp.asarray(x)
    return jax.jit(lambda x: jax.lax.scan(step, (x, opt.init(x)), None, length=steps)[1])(start)


@pytest.mark.parametrize("handed", [True, False])
def test_the_numbers_are_the_papers(handed):
    settings = {"eta": 0.4, "inner_steps": 6}
    expected = list(paper(outputs, jacobian, output_gradient, START, 30, **INNER, **settings))
    with jax.enable_x64(True):
        opt = gl.target_space_surrogate(gl.sgd(**INNER), **settings)
        ours = run(opt, START, 30, handed)
    np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-13)


def test_one_inner_step_of_sgd_is_sgd_to_the_bit():
    sgd, x = gl.sgd(0.05), jnp.asarray(START, jnp.float32)
    opt = gl.target_space_surrogate(sgd, inner_steps=1)
    g, slope = jax.grad(loss)(x), jax.grad(output_loss)(output_fn(x))
    ours, _ = opt.update(g, opt.init(x), x, output_fn=output_fn, output_grad=slope)
    np.testing.assert_array_equal(ours, sgd.update(g, sgd.init(x), x)[0])


def test_outputs_that_can_go_anywhere_take_a_gradient_step_of_size_eta():
    opt = gl.target_space_surrogate(gl.sgd(0.1), eta=0.7, inner_steps=300)
    x = jnp.array([1.0, -2.0])
    slope = jnp.array([0.5, 0.25])
    updates, _ = opt.update(
        None, opt.init(x), x, output_fn=lambda x: x * jnp.array([1.0, 2.0]), output_grad=slope
    )
    np.testing.assert_allclose(updates * jnp.array([1.0, 2.0]), -0.7 * slope, rtol=1e-4)


@pytest.mark.parametrize("inner_steps", [1, 10, 100])
def test_the_loss_never_grows_however_many_steps_are_taken(inner_steps):
    # The loss is 2-smooth in the outputs, so that eta = 1 / 2 makes the surrogate a bound.
    opt = gl.target_space_surrogate(gl.sgd(0.01), eta=0.5, inner_steps=inner_steps)
    x = jnp.asarray(START, jnp.float32)
    losses = jax.vmap(loss)(x + jnp.cumsum(run(opt, x, 40), 0))
    assert np.all(np.diff(losses) <= 1e-6)


def test_more_steps_make_more_of_the_same_gradients():
    x = jnp.asarray(START, jnp.float32)

    def after(inner_steps):
        opt = gl.target_space_surrogate(gl.sgd(0.01), eta=0.5, inner_steps=inner_steps)
        return float(loss(x + run(opt, x, 5).sum(0)))

    few, more = after(1), after(20)
    assert more < few - 0.3


def test_outputs_may_be_a_tree():
    x = jnp.asarray(START, jnp.float32)
    opt = gl.target_space_surrogate(gl.sgd(0.02), eta=0.4, inner_steps=4)
    slope = jax.grad(output_loss)(output_fn(x))
    whole, _ = opt.update(None, opt.init(x), x, output_fn=output_fn, output_grad=slope)

    def halves(z):
        return {"a": z[:4], "b": z[4:]}

    parts, _ = opt.update(
        None, opt.init(x), x, output_fn=lambda x: halves(output_fn(x)), output_grad=halves(slope)
    )
    np.testing.assert_allclose(parts, whole, rtol=1e-5)


def test_bad_input_is_named():
    x, opt = jnp.asarray(START), gl.target_space_surrogate(gl.sgd(0.1))
    for missing in ("output_fn", "output_grad"):
        extra = {"output_fn": output_fn, "output_grad": output_fn(x)}
        del extra[missing]
        with pytest.raises(TypeError, match=f"needs the extra argument {missing}"):
            opt.update(x, opt.init(x), x, **extra)
    with pytest.raises(ValueError, match="different structure"):
        opt.update(x, opt.init(x), x, output_fn=output_fn, output_grad={"z": output_fn(x)})
    with pytest.raises(ValueError, match=r"eta=-1\.0 is outside \(0, inf\)"):
        gl.target_space_surrogate(gl.sgd(0.1), eta=-1.0)
