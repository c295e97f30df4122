"""Hebbian orthogonal projection: the paper, the subspace that is learned, and no forgetting."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from tests.paper.hebbian_orthogonal_projection import hebbian_orthogonal_projection as paper

SETTINGS = {
    "rank": 2,
    "task_starts": (5, 9),
    "hebbian_rate": 0.05,
    "hebbian_momentum": 0.8,
    "hebbian_steps": 3,
}


def test_paper():
    rng = np.random.default_rng(0)
    x, delta = rng.normal(size=(14, 6, 8)), rng.normal(size=(14, 6, 3))
    opt = gl.hebbian_orthogonal_projection(**SETTINGS)
    with jax.enable_x64(True):
        params = jnp.zeros((8, 3))
        state = opt.init(params)
        rows = paper(delta, x, np.asarray(state.subspace), **SETTINGS)
        for inputs, outputs, (update, expected) in zip(x, delta, rows, strict=True):
            g = jnp.asarray(inputs.T @ outputs)
            found, state = opt.update(g, state, params, inputs=jnp.asarray(inputs))
            np.testing.assert_allclose(found, update, rtol=1e-10, atol=1e-12)
            np.testing.assert_allclose(state.subspace, expected["subspace"], rtol=1e-10, atol=1e-12)
            np.testing.assert_allclose(state.mu, expected["mu"], rtol=1e-10, atol=1e-12)


def test_rows_start_orthonormal_and_depend_on_the_seed():
    first, same, other = (
        gl.hebbian_orthogonal_projection(2, (5,), seed=seed).init(jnp.zeros((6, 3))).subspace
        for seed in (0, 0, 1)
    )
    np.testing.assert_allclose(first[:2] @ first[:2].T, np.eye(2), atol=1e-5)
    np.testing.assert_array_equal(first, same)
    assert jnp.abs(first - other).max() > 0.1
    assert jnp.abs(first[:2] - first[2:]).max() > 0.1


def learn(opt, params, x, steps, state=None):
    state = opt.init(params) if state is None else state
    step = jax.jit(lambda s: opt.update(jnp.ones_like(params), s, params, inputs=x)[1])
    for _ in range(steps):
        state = step(state)
    return state


def test_the_principal_subspace_of_the_inputs_is_learned():
    rng = np.random.default_rng(3)
    basis = np.linalg.qr(rng.normal(size=(6, 2)))[0]
    x = jnp.asarray(rng.normal(size=(50, 2)) @ basis.T, jnp.float32)
    opt = gl.hebbian_orthogonal_projection(2, (1000,), 0.1)
    rows = learn(opt, jnp.zeros((6, 1)), x, 300).subspace[:2]
    np.testing.assert_allclose(rows.T @ rows, basis @ basis.T, atol=1e-2)


def test_training_a_second_task_leaves_the_outputs_of_the_first_alone():
    rng = np.random.default_rng(4)
    old = jnp.asarray(rng.normal(size=(40, 2)) @ rng.normal(size=(2, 6)), jnp.float32)
    new = jnp.asarray(rng.normal(size=(40, 6)), jnp.float32)
    targets = jnp.asarray(rng.normal(size=(40, 1)), jnp.float32)
    opt = gl.chain(gl.hebbian_orthogonal_projection(2, (400,), 0.05), gl.sgd(0.05))
    w = jnp.asarray(rng.normal(size=(6, 1)), jnp.float32)
    link = opt.links[0]
    state = (learn(link, w, old, 400), *opt.init(w)[1:])
    before, start = old @ w, jnp.mean((new @ w - targets) ** 2)
    for _ in range(50):
        g = jax.grad(lambda w: jnp.mean((new @ w - targets) ** 2))(w)
        updates, state = opt.update(g, state, w, inputs=new)
        w = w + updates
    assert jnp.mean((new @ w - targets) ** 2) < 0.9 * start
    np.testing.assert_allclose(old @ w, before, atol=0.02 * float(jnp.abs(before).max()))


def test_during_the_first_task_gradients_pass():
    opt, g = gl.hebbian_orthogonal_projection(1, (2,), 0.5), jnp.ones((3, 2))
    x, state = jnp.ones((4, 3)), opt.init(g)
    for _ in range(2):
        update, state = opt.update(g, state, g, inputs=x)
        np.testing.assert_allclose(update, g, rtol=1e-6)
    assert jnp.abs(opt.update(g, state, g, inputs=x)[0] - g).max() > 0.1


def test_other_arrays_pass_and_a_layer_without_inputs_is_named():
    params = {"w": jnp.ones((3, 2)), "v": jnp.ones((3, 2)), "b": jnp.ones(2)}
    opt = gl.hebbian_orthogonal_projection(1, (1,), mask={"w": True, "v": False, "b": False})
    state = opt.init(params)
    assert state.subspace["v"].size == state.subspace["b"].size == 0
    for _ in range(2):
        updates, state = opt.update(params, state, params, inputs={"w": jnp.ones((4, 3))})
    np.testing.assert_array_equal(updates["v"], 1)
    assert jnp.abs(updates["w"] - 1).max() > 0.1
    with pytest.raises(ValueError, match="hebbian_orthogonal_projection: inputs has nothing for w"):
        opt.update(params, state, params, inputs={"v": jnp.ones((4, 3))})


@pytest.mark.parametrize("starts", [(5, 5), (9, 5), (0,), (1.5,)])
def test_tasks_start_at_increasing_steps(starts):
    with pytest.raises((TypeError, ValueError), match="hebbian_orthogonal_projection: task_starts"):
        gl.hebbian_orthogonal_projection(1, starts)
