"""Derivatives of the last steps only, and their average over draws of the last one."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from tests.meta.quadratic import (
    CURVATURE,
    DRAWS,
    HYPER,
    OUTER,
    START,
    STEPS,
    TARGETS,
    loss,
    numbers,
    outer_loss,
)
from tests.paper import transcription


@pytest.mark.parametrize("truncation", [None, 1, 3, STEPS - 1, STEPS])
@pytest.mark.parametrize("memory", ["plain", "segments"])
def test_paper(truncation, memory):
    with jax.enable_x64(True):

        def after(opt):
            how = {"memory": memory, "truncation": truncation}
            return outer_loss(gl.meta.unroll(opt, loss, START, TARGETS, **how).params)

        found = numbers(jax.grad(after)(gl.sgd(**HYPER)))
    paper = transcription("unroll")
    expected, _ = paper(TARGETS, START, CURVATURE, OUTER, truncation=truncation, **HYPER)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_one_step_is_the_direct_dependence_of_the_last_update():
    with jax.enable_x64(True):

        def after(opt):
            run = gl.meta.unroll(opt, loss, START, TARGETS, truncation=1)
            return outer_loss(run.params), run

        grad, run = jax.grad(after, has_aux=True)(gl.sgd(**HYPER))
        params, momentum = np.asarray(run.params), np.asarray(run.state[0].trace)
    np.testing.assert_allclose(grad.learning_rate, -(params - OUTER) @ momentum, rtol=1e-10)


def test_a_truncated_run_is_the_same_run_and_blind_to_where_it_began():
    def after(params, truncation):
        run = gl.meta.unroll(gl.adam(0.1), loss, params, TARGETS, truncation=truncation)
        return outer_loss(run.params) + run.losses[0], run

    start = jnp.asarray(START)
    (_, whole), (_, cut) = (after(start, truncation) for truncation in (None, 4))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), whole, cut)
    np.testing.assert_array_equal(jax.grad(lambda p: after(p, 4)[0])(start), np.zeros(3))


def averaged(opt, batches=TARGETS, draws=DRAWS, **how):
    run = gl.meta.low_variance_truncation(opt, loss, START, batches, draws=draws, **how)
    return jnp.mean(jax.vmap(outer_loss)(run.params)), run


def test_paper_of_the_average():
    with jax.enable_x64(True):
        found = numbers(jax.grad(averaged, has_aux=True)(gl.sgd(**HYPER))[0])
    paper = transcription("low_variance_truncation")
    expected = paper(TARGETS, DRAWS, START, CURVATURE, OUTER, **HYPER)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_one_draw_is_the_truncation_to_one_step():
    with jax.enable_x64(True):
        run = averaged(gl.adam(0.1), TARGETS[:-1], TARGETS[-1:])[1]
        plain = gl.meta.unroll(gl.adam(0.1), loss, START, TARGETS, truncation=1)
    np.testing.assert_allclose(run.params[0], plain.params, rtol=1e-12)
    np.testing.assert_allclose(run.losses, plain.losses[-1:], rtol=1e-12)
    assert run.state[0].mu.shape == (1, 3)


def test_the_variance_is_divided_by_the_number_of_draws():
    def slopes(draws):
        rate = jax.grad(lambda opt, d: averaged(opt, draws=d)[0])
        noise = jax.random.normal(jax.random.PRNGKey(0), (2000, draws, 3))
        return np.asarray(jax.jit(jax.vmap(lambda d: rate(gl.sgd(0.1), d).learning_rate))(noise))

    one, eight = slopes(1), slopes(8)
    np.testing.assert_allclose(one.mean(), eight.mean(), atol=5 * one.std() / 2000**0.5)
    assert 0.85 < 8 * eight.var() / one.var() < 1.15


def test_each_draw_has_a_key_of_its_own():
    def noisy(grads, state, params, *, key, **extra):
        return -0.1 * grads + jax.random.normal(key, grads.shape), state

    rule = optax.GradientTransformationExtraArgs(lambda params: (), noisy)
    run = averaged(rule, draws=np.ones((2, 3)), key=jax.random.PRNGKey(0))[1]
    assert not np.allclose(run.params[0], run.params[1])
    one = averaged(gl.sgd(0.1), draws=np.ones((2, 3)), key=jax.random.PRNGKey(0))[1]
    np.testing.assert_array_equal(one.params[0], one.params[1])


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"draws": {"a": DRAWS, "b": DRAWS[:2]}}, r"draws\['b'\] has 2 .*'a'"),
        ({"draws": 1.0}, "draws is a scalar"),
        ({"draws": None}, "without draws"),
        ({"batches": None}, "steps has to say"),
    ],
)
def test_bad_draws_are_refused_by_name(how, message):
    with pytest.raises(ValueError, match=message):
        averaged(gl.sgd(0.1), **how)
