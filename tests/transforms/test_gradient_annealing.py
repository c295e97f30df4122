"""Gradient annealing: its paper, automatic differentiation, and what becomes of sparsity."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from tests import agreement

SETTINGS = {
    "alpha": 0.75,
    "steps": 40,
    "threshold_learning_rate": 0.01,
    "threshold_decay": 0.1,
    "initial_threshold": -1.0,
}


@pytest.mark.parametrize("decay", ["sigmoid_cosine", "cosine", "sigmoid"])
def test_paper(decay):
    opt = gl.gradient_annealing(**SETTINGS, decay=decay)
    agreement.assert_matches_paper(opt, "gradient_annealing", shape=(5, 4), **SETTINGS, decay=decay)


def test_it_is_the_backward_pass_of_a_threshold_with_a_leak():
    alpha, s = 0.3, jnp.float32(-1.0)
    w, target = (jnp.asarray(agreement.start((4, n)), jnp.float32) for n in (3, 4))
    target = target[:, :3]

    @jax.custom_jvp
    def leaky(x):
        return jax.nn.relu(x)

    leaky.defjvp(lambda x, dx: (leaky(*x), jnp.where(x[0] > 0, 1, alpha) * dx[0]))

    def loss(sparse):
        return jnp.sum((sparse - target) ** 3)

    def through(w, s):
        return loss(jnp.sign(w) * leaky(jnp.abs(w) - jax.nn.sigmoid(s)))

    by_w, by_s = jax.grad(through, (0, 1))(w, s)
    opt = gl.gradient_annealing(alpha, 10, 1.0, initial_threshold=float(s))
    state = opt.init(w)
    g, state = opt.update(jax.grad(loss)(gl.eval_params(opt, state, w)), state, w)
    np.testing.assert_allclose(g, by_w, rtol=1e-5)
    np.testing.assert_allclose(state.threshold, s - by_s, rtol=1e-5)


def test_with_all_of_the_gradient_it_is_straight_through():
    opt = gl.gradient_annealing(1.0, 1e9, 0.0, initial_threshold=0.0)
    g, w = jnp.full((2, 3), 2.0), jnp.full((2, 3), 0.1)
    np.testing.assert_array_equal(opt.update(g, opt.init(w), w)[0], g)


def test_after_the_horizon_pruned_weights_stand_still():
    opt = gl.gradient_annealing(1.0, 2, 0.0, initial_threshold=0.0)
    g, w = jnp.ones((1, 2)), jnp.array([[0.1, 3.0]])
    state, passed = opt.init(w), []
    for _ in range(4):
        update, state = opt.update(g, state, w)
        passed.append(update[0])
    np.testing.assert_allclose(passed, [[1, 1], [0.5, 1], [0, 1], [0, 1]], rtol=1e-6)


def test_training_prunes_what_is_not_used():
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(64, 10)), jnp.float32)
    truth = jnp.zeros((10, 1)).at[:3].set(jnp.array([[2.0], [-3.0], [2.0]]))
    y = x @ truth + 0.1 * jnp.asarray(rng.normal(size=(64, 1)), jnp.float32)
    annealing = gl.gradient_annealing(0.5, 150, 0.05, 0.5, initial_threshold=-2.0)
    opt = gl.chain(annealing, gl.sgd(0.05))

    @jax.jit
    def step(carry, _):
        params, state = carry
        gradient = jax.grad(lambda p: jnp.mean((x @ p - y) ** 2))
        updates, state = opt.update(gradient(gl.eval_params(opt, state, params)), state, params)
        return (optax.apply_updates(params, updates), state), None

    start = jnp.asarray(rng.normal(size=(10, 1)), jnp.float32)
    (params, state), _ = jax.lax.scan(step, (start, opt.init(start)), None, length=300)
    sparse = gl.eval_params(opt, state, params)
    np.testing.assert_allclose(sparse, truth, atol=0.1)
    assert jnp.sum(sparse == 0) >= 6


def test_only_weights_have_a_threshold_unless_the_mask_says_so():
    params = {"w": jnp.full((2, 2), 0.1), "b": jnp.full(2, 0.1)}
    opt = gl.gradient_annealing(0.0, 9, initial_threshold=0.0)
    assert gl.eval_params(opt, opt.init(params), params)["b"] is params["b"]
    updates, state = opt.update(params, opt.init(params), params)
    assert (updates["w"].sum(), state.threshold["b"]) == (0, 0)
    np.testing.assert_array_equal(updates["b"], params["b"])
    both = gl.gradient_annealing(0.0, 9, initial_threshold=0.0, mask=True)
    assert both.update(params, both.init(params), params)[0]["b"].sum() == 0


def test_effective_parameters_keep_their_dtype():
    params = jnp.ones((2, 2), jnp.bfloat16)
    opt = gl.gradient_annealing(0.5, 9)
    assert gl.eval_params(opt, opt.init(params), params).dtype == jnp.bfloat16
    assert opt.init(params).threshold.dtype == jnp.float32


def test_bad_arguments_are_named():
    opt = gl.gradient_annealing(0.5, 9)
    with pytest.raises(ValueError, match="needs the parameters"):
        opt.update(jnp.ones((2, 2)), opt.init(jnp.ones((2, 2))))
    with pytest.raises(ValueError, match=r"alpha=1.5 is outside \[0, 1\]"):
        gl.gradient_annealing(1.5, 9)
    with pytest.raises(ValueError, match="decay='linear': expected one of"):
        gl.gradient_annealing(0.5, 9, decay="linear")
    with pytest.raises(ValueError, match="selects none"):
        gl.gradient_annealing(0.5, 9, mask=False).init(jnp.ones((2, 2)))
