"""Online-to-non-convex conversion: the paper's numbers, and a stationary point."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from tests.paper.online_to_nonconvex import online_to_nonconvex as paper
from tests.wrappers.closed_loop import START, gradient, loss

SETTINGS = {"radius": 0.05, "every": 7}


def run(opt, grad_fn, x, steps):
    """Parameters, evaluation parameters and shares after each step."""

    def step(carry, _):
        x, state = carry
        updates, state = opt.update(grad_fn(x), state, x)
        x = optax.apply_updates(x, updates)
        return (x, state), (x, gl.eval_params(opt, state, x), state.share)

    start = jnp.asarray(x)
    return jax.jit(lambda x: jax.lax.scan(step, (x, opt.init(x)), None, length=steps)[1])(start)


def test_the_numbers_are_the_papers():
    with jax.enable_x64(True):
        opt = gl.online_to_nonconvex(gl.sgd(0.01), **SETTINGS, key=3)
        ours, means, shares = run(opt, jax.grad(loss), START, 40)
    shares = np.concatenate([[0.0], np.asarray(shares, np.float64)])
    rows = list(paper(gradient, START, shares, learning_rate=0.01, **SETTINGS))
    np.testing.assert_allclose(ours, [w for w, _ in rows[1:]], rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(means, [mean for _, mean in rows[:-1]], rtol=1e-10, atol=1e-13)
    assert 0.3 < np.mean(shares[1:]) < 0.7
    assert len(set(shares.tolist())) == 41


# Goldstein's notion of stationarity: the mean of gradients within delta of a point.
def pit(x):
    """Neither smooth nor convex: a cone on a floor of kinks."""
    return jnp.sum(jnp.abs(x)) + 0.3 * jnp.sum(jnp.abs(jnp.sin(3 * x)))


def test_it_finds_a_stationary_point_of_a_function_without_derivatives():
    delta, every = 0.1, 100
    opt = gl.online_to_nonconvex(gl.sgd(2e-4), radius=delta / every, every=every, key=0)
    x, means, _ = run(opt, jax.grad(pit), jnp.array([0.7, -0.4, 0.9]), 12 * 1000)
    last = x[-every - 1 : -1]
    gradients = jax.vmap(jax.grad(pit))(last)
    assert np.max(np.linalg.norm(last - means[-1], axis=1)) < delta
    # Each single gradient is long, their mean is short.
    assert np.min(np.linalg.norm(gradients, axis=1)) > 1
    assert np.linalg.norm(np.mean(gradients, 0)) < 0.2
    assert pit(means[-1]) < 0.1


def test_the_parameters_of_an_epoch_stay_within_the_radius_times_its_length():
    opt = gl.online_to_nonconvex(gl.adam(10.0), radius=0.01, every=20, key=0)
    x, _, _ = run(opt, jax.grad(loss), jnp.asarray(START), 60)
    for epoch in (x[:20], x[20:40], x[40:]):
        assert np.max(np.linalg.norm(epoch - epoch[0], axis=(1, 2))) <= 0.2 + 1e-5


def test_every_epoch_begins_with_a_fresh_learner():
    opt = gl.online_to_nonconvex(gl.sgd(0.01, momentum=0.9), radius=9.0, every=3, key=0)
    x, state = jnp.asarray(START), None
    state = opt.init(x)
    fresh = state.inner_state
    for step in range(1, 7):
        updates, state = opt.update(jax.grad(loss)(x), state, x)
        x = x + updates
        same = jax.tree.map(np.array_equal, state.inner_state, fresh)
        assert all(jax.tree.leaves(same)) == (step % 3 == 0)
        assert bool(jnp.any(state.increment)) == (step % 3 != 0)


def test_without_a_bound_and_restart_it_is_momentum_without_decay():
    # Increments are then the sum of all steps: gradient descent with a momentum of one.
    opt = gl.online_to_nonconvex(gl.sgd(0.01), radius=1e9, every=1000, key=0)
    x, state = jnp.asarray(START), opt.init(jnp.asarray(START))
    total = jnp.zeros_like(x)
    for _ in range(5):
        g = jax.grad(loss)(x)
        updates, state = opt.update(g, state, x)
        x, total = x + updates, total - 0.01 * g
        np.testing.assert_allclose(state.increment, total, rtol=1e-5)


def test_an_inner_optimizer_that_asks_for_gradients_gets_them_where_the_increment_leads():
    opt = gl.online_to_nonconvex(gl.sam(gl.sgd(0.01), 0.1), radius=9.0, every=50, key=0)
    places, x = [], jnp.asarray(START)
    state = opt.init(x)

    def grad_fn(p):
        places.append(p)
        return jax.grad(loss)(p)

    for _ in range(2):
        g = jax.grad(loss)(x)
        updates, state = opt.update(g, state, x, grad_fn=grad_fn)
        origin = x
        x = x + updates
    # Uphill from the end of the increment that led through the last point.
    far = jnp.linalg.norm(places[-1] - origin)
    first = jnp.linalg.norm(places[0] - jnp.asarray(START))
    np.testing.assert_allclose(first, 0.1, rtol=1e-4)
    assert 0.05 < far < 0.4


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"radius=-1\.0 is outside \[0, inf\)"):
        gl.online_to_nonconvex(gl.sgd(0.1), -1.0, key=0)
    with pytest.raises(TypeError, match="traced key"):
        jax.jit(lambda k: gl.online_to_nonconvex(gl.sgd(0.1), key=k).radius)(jax.random.key(0))
    opt = gl.online_to_nonconvex(gl.sgd(0.1), key=0)
    with pytest.raises(ValueError, match="needs the parameters"):
        opt.update(jnp.ones(2), opt.init(jnp.ones(2)))
