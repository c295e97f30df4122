"""Flat parameters: the numbers are those of the tree, and the gradient comes back flat."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from tests import agreement

TREE = {
    "w": jnp.arange(6.0).reshape(2, 3) - 2,
    "b": jnp.ones(3),
    "half": jnp.ones((2, 2), jnp.bfloat16),
    "gain": jnp.float32(0.5),
    "empty": jnp.zeros((0, 2)),
    "none": None,
}


def loss(tree):
    leaves = [jnp.asarray(x, jnp.float32) for x in jax.tree.leaves(tree)]
    return sum(jnp.sum((x - 1) ** 2) for x in leaves)


def train(opt, params, view=lambda p: p, steps=5):
    state = opt.init(params)

    @jax.jit
    def step(params, state):
        g = jax.grad(lambda p: loss(view(p)))(params)
        updates, state = opt.update(g, state, params)
        return optax.apply_updates(params, updates), state

    for _ in range(steps):
        params, state = step(params, state)
    return params, state


@pytest.mark.parametrize("make", [gl.adamw, optax.adamw], ids=["gradlab", "optax"])
def test_flat_training_is_training(make):
    expected, _ = train(make(0.1), TREE)
    kept, state = train(gl.flat(make(0.1)), gl.flatten_params(TREE), lambda p: p.tree())
    inside, _ = train(gl.flat(make(0.1)), TREE)
    for found in (kept.tree(), inside):
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
            np.testing.assert_allclose(
                np.asarray(a, np.float32), np.asarray(b, np.float32), rtol=1e-5
            )
    assert len(jax.tree.leaves(state)) == 5  # a count, and two averages for each of two dtypes
    assert set(kept.vectors) == {"float32", "bfloat16"}


def test_flat_parameters_are_the_tree_again():
    params = gl.flatten_params(TREE)
    assert params.vectors["float32"].shape == (10,)
    found = params.tree()
    assert jax.tree.structure(found) == jax.tree.structure(TREE)
    jax.tree.map(np.testing.assert_array_equal, found, TREE)


def test_the_gradient_of_the_view_is_one_concatenation():
    params = gl.flatten_params([jnp.ones(4) * i for i in range(50)])
    program = jax.make_jaxpr(jax.grad(lambda p: loss(p.tree())))(params)
    names = [equation.primitive.name for equation in program.eqns]
    assert names.count("concatenate") == 1
    assert names.count("split") == 1
    assert "pad" not in names
    assert "add_any" not in names


def test_gradients_go_both_ways_and_twice():
    params = gl.flatten_params({"a": jnp.arange(3.0), "b": jnp.ones(2)})

    def cubes(p):
        return sum(jnp.sum(x**3) for x in jax.tree.leaves(p.tree()))

    _, slope = jax.jvp(cubes, (params,), (jax.tree.map(jnp.ones_like, params),))
    gradient = jax.grad(cubes)(params)
    assert float(slope) == float(jnp.sum(gradient.vectors["float32"]))
    second = jax.grad(lambda p: jnp.sum(jax.grad(cubes)(p).vectors["float32"]))(params)
    np.testing.assert_allclose(second.vectors["float32"], 6 * params.vectors["float32"])


def test_a_norm_over_all_arrays_is_that_of_the_vector():
    opt = gl.chain(gl.clip_by_global_norm(0.1), gl.sgd(1.0))
    tree = {"a": jnp.arange(3.0), "b": jnp.ones(2)}
    found, _ = gl.flat(opt).update(tree, gl.flat(opt).init(tree), tree)
    expected, _ = opt.update(tree, opt.init(tree), tree)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), found, expected)


@pytest.mark.parametrize("keep", [True, False])
def test_functions_for_inner_optimizers_take_what_the_parameters_are(keep):
    tree = {"a": jnp.arange(3.0), "b": jnp.ones(2)}
    opt, plain = gl.flat(gl.sam(gl.sgd(0.1), 0.5)), gl.sam(gl.sgd(0.1), 0.5)
    params = gl.flatten_params(tree) if keep else tree
    view = (lambda p: p.tree()) if keep else (lambda p: p)
    gradient = jax.grad(lambda p: loss(view(p)))
    updates, _ = opt.update(gradient(params), opt.init(params), params, grad_fn=gradient)
    there = jax.grad(loss)
    expected, _ = plain.update(there(tree), plain.init(tree), tree, grad_fn=there)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), view(updates), expected)


def test_flat_is_the_papers_sgd():
    agreement.assert_same_numbers(gl.flat(gl.sgd(0.1, 0.9)), gl.sgd(0.1, 0.9))


def test_a_parameter_without_a_gradient_is_named():
    opt = gl.flat(gl.sgd(0.1))
    tree = {"a": jnp.ones(3), "b": jnp.ones(2)}
    with pytest.raises(ValueError, match=r"flat: there is no gradient at \['b'\]"):
        opt.update({"a": jnp.ones(3), "b": None}, opt.init(tree), tree)
    with pytest.raises(TypeError, match="flat: expected a gradient transformation"):
        gl.flat(gl.sgd)


def test_evaluation_parameters_keep_their_form():
    opt = gl.flat(gl.average_iterates(gl.sgd(1.0), 0.5))
    params = gl.flatten_params(TREE)
    state = opt.init(params)
    assert isinstance(gl.eval_params(opt, state, params), gl.FlatParams)
    found = gl.eval_params(opt, opt.init(TREE), TREE)
    assert jax.tree.structure(found) == jax.tree.structure(TREE)
