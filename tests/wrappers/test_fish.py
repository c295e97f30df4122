"""Fish: the paper's numbers, its cost, and that it aligns gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from gradlab import core
from tests.paper.fish import fish as paper
from tests.wrappers.closed_loop import HESSIAN, START

INNER = {"learning_rate": 0.02, "momentum": 0.7}
CENTRES = np.random.default_rng(9).normal(size=(4, 6))


def gradient(x, domain):
    return (HESSIAN @ (x.ravel() - CENTRES[domain]) + np.sin(x.ravel())).reshape(x.shape)


def grad_fn(x, domain):
    flat = x.ravel()
    return (jnp.asarray(HESSIAN) @ (flat - jnp.asarray(CENTRES)[domain]) + jnp.sin(flat)).reshape(
        x.shape
    )


def run(opt, x, steps, handed=False):
    """Updates, and the orders that the state announced."""

    def step(carry, _):
        x, state = carry
        order = state.order
        first = grad_fn(x, order[0]) if handed else None
        updates, state = opt.update(first, state, x, domain_grad_fn=grad_fn)
        return (optax.apply_updates(x, updates), state), (updates, order)

    start = jnp.asarray(x)
    return jax.jit(lambda x: jax.lax.scan(step, (x, opt.init(x)), None, length=steps)[1])(start)


@pytest.mark.parametrize("handed", [False, True])
def test_the_numbers_are_the_papers(handed):
    with jax.enable_x64(True):
        opt = gl.fish(gl.sgd(**INNER), 4, 0.3, key=5)
        ours, orders = run(opt, START, 40, handed)
    expected = list(paper(gradient, START, np.asarray(orders), **INNER, rate=0.3))
    np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-13)
    np.testing.assert_array_equal(np.sort(orders, 1), np.broadcast_to(np.arange(4), (40, 4)))
    assert len({tuple(order) for order in np.asarray(orders).tolist()}) > 5


def test_one_domain_followed_all_the_way_is_the_inner_optimizer():
    inner = gl.adam(0.1)
    x = jnp.asarray(START, jnp.float32)
    state, plain = gl.fish(inner, 1, 1.0, key=0).init(x), inner.init(x)
    for _ in range(3):
        g = grad_fn(x, 0)
        ours, state = gl.fish(inner, 1, 1.0, key=0).update(g, state, x, domain_grad_fn=grad_fn)
        expected, plain = inner.update(g, plain, x)
        np.testing.assert_array_equal(ours, expected)
        x = x + ours


def test_a_step_costs_one_gradient_of_each_domain():
    seen = []

    def counted(x, domain):
        jax.debug.callback(lambda d: seen.append(int(d)), domain)
        return grad_fn(x, domain)

    opt, x = gl.fish(gl.sgd(0.1), 4, key=0), jnp.asarray(START)
    state = opt.init(x)
    order = state.order.tolist()
    jax.block_until_ready(opt.update(None, state, x, domain_grad_fn=counted))
    jax.effects_barrier()
    assert sorted(seen) == [0, 1, 2, 3]
    seen.clear()
    jax.block_until_ready(opt.update(grad_fn(x, order[0]), state, x, domain_grad_fn=counted))
    jax.effects_barrier()
    assert sorted(seen) == sorted(order[1:])


def test_it_adds_the_gradient_of_the_inner_product_of_gradients():
    # To second order in the learning rate, the walk through two domains in both orders is a
    # step on both, less half the gradient of <g0, g1>.
    with jax.enable_x64(True):
        x, lr = jnp.asarray(START), 1e-3

        def walk(order):
            place = x
            for domain in order:
                place = place - lr * grad_fn(place, domain)
            return place - x

        opt, found, expected = gl.fish(gl.sgd(lr), 2, 1.0, key=0), {}, 0
        state = opt.init(x)
        for _ in range(20):
            updates, after = opt.update(None, state, x, domain_grad_fn=grad_fn)
            found[tuple(state.order.tolist())] = updates
            state = after
        assert set(found) == {(0, 1), (1, 0)}
        for order, updates in found.items():
            np.testing.assert_allclose(updates, walk(order), rtol=1e-9)
        mean = (found[0, 1] + found[1, 0]) / 2
        both = grad_fn(x, 0) + grad_fn(x, 1)
        product = jax.grad(lambda x: jnp.sum(grad_fn(x, 0) * grad_fn(x, 1)))(x)
        expected = -lr * both + lr**2 / 2 * product
        error = jnp.linalg.norm(mean - expected)
        assert error < 0.05 * jnp.linalg.norm(lr**2 / 2 * product)


def test_inside_of_another_walk_it_keeps_its_own_gradients():
    x = jnp.asarray(START)
    fish = gl.fish(gl.sgd(0.1), 3, key=0)
    opt, total = gl.sam(fish, 0.05), lambda x: sum(grad_fn(x, i) for i in range(3))
    updates, _ = opt.update(total(x), opt.init(x), x, grad_fn=total, domain_grad_fn=grad_fn)
    g = total(x)
    sharp = total(x + 0.05 * g / jnp.linalg.norm(g))
    expected, _ = fish.update(sharp, fish.init(x), x, domain_grad_fn=grad_fn)
    np.testing.assert_allclose(updates, expected, rtol=1e-4)


class NeedsValue(core.Rule):
    needs = ("value",)


def test_bad_input_is_named():
    x = jnp.asarray(START)
    opt = gl.fish(core.build(NeedsValue), 2, key=0)
    with pytest.raises(ValueError, match="needs value, which is not known"):
        opt.update(None, opt.init(x), x, domain_grad_fn=grad_fn)
    with pytest.raises(ValueError, match="domains=0"):
        gl.fish(gl.sgd(0.1), 0, key=0)
    opt = gl.fish(gl.sgd(0.1), 2, key=0)
    with pytest.raises(TypeError, match="needs the extra argument domain_grad_fn"):
        opt.update(x, opt.init(x), x)
