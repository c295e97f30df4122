"""FOSI: the paper's numbers, what it contains, and what it is for."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from tests.paper.fosi import fosi as paper
from tests.wrappers.closed_loop import HESSIAN, START, gradient, loss, updates_of

INNER = {"learning_rate": 0.02, "momentum": 0.8}
SETTINGS = {"alpha": 0.3, "b1": 0.6, "max_scale": 1.5, "every": 7, "warmup": 4}
GRADIENT = jax.grad(loss)


def hessian(x):
    return HESSIAN - 4 * np.diag(np.cos(2 * x.ravel()))


@pytest.mark.parametrize(("largest", "smallest"), [(2, 1), (3, 0), (1, 2)])
def test_the_numbers_are_the_papers(largest, smallest):
    pairs = {"largest": largest, "smallest": smallest}
    expected = list(paper(gradient, hessian, START, 30, **INNER, **SETTINGS, **pairs))
    with jax.enable_x64(True):
        ours = updates_of(gl.fosi(gl.sgd(**INNER), **SETTINGS, **pairs), GRADIENT, START, 30)
    np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-12)


QUADRATIC = np.diag([500.0, 80.0, 2.0, 1.5, 1.0, 0.5])


def steep(x):
    return jnp.asarray(QUADRATIC, x.dtype) @ x


def distance(opt, steps, x):
    return float(jnp.linalg.norm(x + updates_of(opt, steep, x, steps).sum(0)))


def test_newtons_method_is_one_step_when_the_span_is_all():
    opt = gl.fosi(gl.sgd(0.1), 1.0, largest=6, warmup=0)
    x = jnp.arange(1.0, 7.0)
    updates, state = opt.update(steep(x), opt.init(x), x, grad_fn=steep)
    np.testing.assert_allclose(x + updates, jnp.zeros(6), atol=1e-4)
    np.testing.assert_allclose(state.curvatures, np.sort(np.diag(QUADRATIC)), rtol=1e-4)


def test_it_beats_its_base_where_two_directions_are_steep():
    x = jnp.ones(6)
    # The largest learning rates that are stable: without, and with the steep directions gone.
    alone = distance(gl.sgd(1.9 / 500), 60, x)
    opt = gl.fosi(gl.sgd(0.5), 1.0, max_scale=1.0, largest=2, warmup=0, every=60)
    assert distance(opt, 60, x) < 1e-3 < 0.5 < alone


def test_saddles_are_left_along_negative_curvature():
    def saddle(x):
        return jnp.array([2.0, -0.5]) * x

    opt = gl.fosi(gl.sgd(0.0), 1.0, largest=1, smallest=1, warmup=0)
    x = jnp.array([1.0, 0.5])
    updates, _ = opt.update(saddle(x), opt.init(x), x, grad_fn=saddle)
    np.testing.assert_allclose(updates, [-1.0, 0.5], rtol=1e-5)


def test_the_inner_optimizer_moves_across_the_span_only():
    opt = gl.fosi(gl.adam(0.1), 0.0, max_scale=1.0, largest=2, warmup=0)
    x = jnp.ones(6)
    updates, state = opt.update(steep(x), opt.init(x), x, grad_fn=steep)
    np.testing.assert_allclose(state.directions @ updates, jnp.zeros(2), atol=1e-6)
    np.testing.assert_allclose(jnp.abs(updates[2:]), jnp.full(4, 0.1), rtol=1e-3)


def test_before_the_first_estimate_it_is_the_inner_optimizer():
    inner = gl.adam(0.1)
    ours = updates_of(gl.fosi(inner, every=5), GRADIENT, START, 9)
    plain = updates_of(inner, GRADIENT, START, 9)
    np.testing.assert_allclose(ours[:5], plain[:5], rtol=1e-5, atol=1e-7)
    assert np.max(np.abs(ours[5] - plain[5])) > 1e-3


def test_the_scale_is_the_ratio_of_the_largest_eigenvalues_up_to_its_bound():
    x = jnp.ones(6)

    def step(max_scale):
        opt = gl.fosi(gl.sgd(0.1), 0.0, max_scale=max_scale, largest=2, warmup=0)
        return opt.update(steep(x), opt.init(x), x, grad_fn=steep)[0][5]

    np.testing.assert_allclose(step(100.0) / step(1.0), 500 / 80, rtol=1e-4)
    np.testing.assert_allclose(step(3.0) / step(1.0), 3.0, rtol=1e-4)


def test_an_estimate_costs_products_with_the_hessian_and_other_steps_none():
    calls = 0

    def count():
        nonlocal calls
        calls += 1

    def grad_fn(x):
        jax.debug.callback(count)
        return GRADIENT(x)

    opt = gl.fosi(gl.sgd(0.01), largest=1, order=4, every=3, warmup=1)
    x, found = jnp.asarray(START), []
    state, update = opt.init(x), jax.jit(lambda s, x: opt.update(x, s, x, grad_fn=grad_fn))
    for _ in range(5):
        calls = 0
        updates, state = update(state, x)
        jax.block_until_ready(updates)
        jax.effects_barrier()
        found.append(calls)
    assert found == [0, 5, 0, 0, 5]


def test_parameters_that_are_not_used_are_in_no_direction():
    grad_fn = jax.grad(lambda p: loss(p["used"]))
    params = {"used": jnp.asarray(START, jnp.float32), "not": jnp.ones(40)}
    opt = gl.fosi(gl.sgd(0.1), largest=3, warmup=0)
    _, state = opt.update(grad_fn(params), opt.init(params), params, grad_fn=grad_fn)
    assert not jnp.any(state.directions["not"])
    norms = jnp.linalg.norm(state.directions["used"].reshape(3, 6), axis=1)
    np.testing.assert_allclose(norms, jnp.ones(3), rtol=1e-5)


@pytest.mark.parametrize("curvature", [0.0, 3.0])
def test_a_loss_without_two_different_curvatures_is_no_trouble(curvature):
    def grad_fn(x):
        return curvature * x + 1.0

    def end(opt, x):
        return jnp.sum(opt.update(grad_fn(x), opt.init(x), x, grad_fn=grad_fn)[0] ** 2)

    opt, x = gl.as_arrays(gl.fosi(gl.sgd(0.1), largest=2, smallest=1, warmup=0)), jnp.ones(4)
    value, slopes = jax.value_and_grad(end, (0, 1))(opt, x)
    assert jnp.isfinite(value)
    assert value > 0
    assert all(jnp.all(jnp.isfinite(s)) for s in jax.tree.leaves(slopes))


def test_more_eigenpairs_than_parameters_are_rows_of_zeros():
    opt = gl.fosi(gl.sgd(0.1), 1.0, largest=3, smallest=2, warmup=0)
    x = jnp.array([1.0, 2.0])

    def grad_fn(x):
        return jnp.array([4.0, 1.0]) * x

    updates, state = opt.update(grad_fn(x), opt.init(x), x, grad_fn=grad_fn)
    np.testing.assert_allclose(state.curvatures, [0, 0, 0, 1, 4], atol=1e-5)
    np.testing.assert_allclose(updates, -x, rtol=1e-5)


def test_foreign_optimizers_are_wrapped_and_bad_input_is_named():
    x = jnp.asarray(START, jnp.float32)
    opt = gl.fosi(optax.adam(0.1), largest=1, warmup=0)
    updates, _ = opt.update(GRADIENT(x), opt.init(x), x, grad_fn=GRADIENT)
    assert jnp.all(jnp.isfinite(updates))
    with pytest.raises(TypeError, match="needs the extra argument grad_fn"):
        opt.update(x, opt.init(x), x)
    with pytest.raises(TypeError, match="complex"):
        opt.init(jnp.ones(2, complex))
    with pytest.raises(ValueError, match=r"max_scale=0\.5 is outside \[1, inf\)"):
        gl.fosi(gl.sgd(0.1), max_scale=0.5)
    with pytest.raises(ValueError, match="largest=0"):
        gl.fosi(gl.sgd(0.1), largest=0)
