"""ProxyProx: the paper's numbers, proximal steps, and few gradients of the objective."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from tests.paper.proxy_prox import proxy_prox as paper
from tests.wrappers.closed_loop import HESSIAN, START, gradient, loss, states_of, updates_of

INNER = {"learning_rate": 0.02, "momentum": 0.5}


def proxy(x):
    return (HESSIAN @ x.ravel()).reshape(x.shape)


def jax_proxy(x):
    return (jnp.asarray(HESSIAN, x.dtype) @ x.ravel()).reshape(x.shape)


def with_proxy(function):
    return {"proxy_grad_fn": lambda x: function}


def test_the_numbers_are_the_papers():
    settings = {"eta": 0.4, "inner_steps": 5}
    expected = list(paper(gradient, proxy, START, 40, **INNER, **settings))
    with jax.enable_x64(True):
        opt = gl.proxy_prox(gl.sgd(**INNER), **settings)
        ours = updates_of(opt, jax.grad(loss), START, 40, **with_proxy(jax_proxy))
    np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-13)


def test_the_objective_as_proxy_makes_a_proximal_step():
    opt, x = gl.proxy_prox(gl.sgd(0.2), eta=0.5, inner_steps=200), jnp.arange(1.0, 4.0)
    curvature = jnp.array([1.0, 2.0, 0.1])

    def grad_fn(x):
        return curvature * x

    updates, _ = opt.update(grad_fn(x), opt.init(x), x, proxy_grad_fn=grad_fn)
    np.testing.assert_allclose(x + updates, x / (1 + 0.5 * curvature), rtol=1e-5)


def test_without_a_proxy_it_is_gradient_descent_with_eta_as_learning_rate():
    opt, x = gl.proxy_prox(gl.sgd(0.1), eta=0.5, inner_steps=200), jnp.asarray(START, jnp.float32)

    def nothing(x):
        return jnp.zeros_like(x)

    g = jax.grad(loss)(x)
    updates, _ = opt.update(g, opt.init(x), x, proxy_grad_fn=nothing)
    np.testing.assert_allclose(updates, -0.5 * g, rtol=1e-4)


def test_one_inner_step_is_the_inner_optimizer_to_the_bit():
    inner = gl.adam(0.1)
    ours = updates_of(
        gl.proxy_prox(inner, inner_steps=1), jax.grad(loss), START, 20, **with_proxy(jax_proxy)
    )
    np.testing.assert_array_equal(ours, updates_of(inner, jax.grad(loss), START, 20))


def test_a_quadratic_is_minimised_with_few_of_its_gradients():
    # The objective is ill-conditioned, its difference from the proxy is not.
    draw = np.random.default_rng(1)
    curvature = jnp.asarray(np.diag(np.geomspace(0.01, 100, 8)), jnp.float32)
    noise = draw.normal(size=(8, 8))
    difference = jnp.asarray(0.02 * (noise + noise.T) / 8, jnp.float32)
    start = jnp.ones(8)

    def exact(x):
        return (curvature + difference @ difference) @ x

    def cheap(x):
        return curvature @ x

    opt = gl.proxy_prox(gl.sgd(0.015, momentum=0.9), eta=100.0, inner_steps=1000)
    x, _ = states_of(opt, exact, start, 12, **with_proxy(cheap))
    alone, _ = states_of(gl.sgd(0.019), exact, start, 12)
    assert jnp.linalg.norm(x) < 1e-2 < 1 < jnp.linalg.norm(alone)


def test_an_inner_optimizer_that_asks_for_gradients_gets_those_of_the_subproblem():
    x, places = jnp.ones(2), []

    def cheap(place):
        places.append(place)
        return 3 * place

    opt = gl.proxy_prox(gl.sam(gl.sgd(0.1), 0.5), eta=0.5, inner_steps=1)
    g = jnp.array([3.0, 4.0])
    updates, _ = opt.update(g, opt.init(x), x, proxy_grad_fn=cheap)
    moved = jnp.array([0.3, 0.4])
    np.testing.assert_allclose(updates, -0.1 * (g + 3 * moved + moved / 0.5), rtol=1e-5)
    assert len(places) == 2


def test_narrow_parameters_walk_in_float32():
    opt, x = gl.proxy_prox(gl.sgd(1e-3), eta=1.0, inner_steps=10), jnp.ones(3, jnp.bfloat16)
    updates, _ = opt.update(x, opt.init(x), x, proxy_grad_fn=lambda x: jnp.zeros_like(x))
    # Ten steps of a thousandth each, every one of which would be lost in bfloat16.
    assert updates.dtype == jnp.bfloat16
    np.testing.assert_allclose(updates.astype(float), -0.01, rtol=0.05)


def test_bad_input_is_named():
    x = jnp.ones(2)
    opt = gl.proxy_prox(optax.sgd(0.1))
    with pytest.raises(TypeError, match="needs the extra argument proxy_grad_fn"):
        opt.update(x, opt.init(x), x)
    with pytest.raises(TypeError, match="did you mean 'proxy_grad_fn'"):
        opt.update(x, opt.init(x), x, proxy_grad_fn=lambda x: x, proxy_gradfn=0)
    with pytest.raises(ValueError, match=r"eta=0\.0 is outside \(0, inf\)"):
        gl.proxy_prox(gl.sgd(0.1), eta=0.0)
    with pytest.raises(ValueError, match="inner_steps=0"):
        gl.proxy_prox(gl.sgd(0.1), inner_steps=0)
