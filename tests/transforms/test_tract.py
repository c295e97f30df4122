"""TrAct: its paper, the authors' other formula, steps on outputs, and inputs that do not fit."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from tests import agreement
from tests.paper.tract import tract, tract_of_few_examples

RNG = np.random.default_rng(5)


def update(g, x, damping=0.1):
    opt = gl.tract(damping)
    with jax.enable_x64(True):
        params = {"w": jnp.zeros(g.shape), "b": jnp.ones(2)}
        gradients = {"w": jnp.asarray(g), "b": jnp.full(2, 3.0)}
        found, _ = opt.update(gradients, opt.init(params), params, inputs={"w": jnp.asarray(x)})
    np.testing.assert_array_equal(found["b"], 3.0)
    return np.asarray(found["w"])


@pytest.mark.parametrize("damping", [0.01, 0.1, 5.0])
@pytest.mark.parametrize("examples", [3, 9])
def test_paper(examples, damping):
    x, g = RNG.normal(size=(examples, 6)), RNG.normal(size=(6, 4))
    expected = tract(g, x, damping=damping)
    np.testing.assert_allclose(update(g, x, damping), expected, rtol=1e-10, atol=1e-13)


def test_the_authors_formula_for_few_examples_is_the_same():
    x, outputs = RNG.normal(size=(3, 6)), RNG.normal(size=(3, 4))
    expected = tract_of_few_examples(outputs, x, 0.1)
    np.testing.assert_allclose(update(x.T @ outputs, x), expected, rtol=1e-10)


def test_a_convolution_takes_its_patches():
    image, outputs = RNG.normal(size=(2, 5, 5, 3)), RNG.normal(size=(2, 4, 4, 7))
    rows = np.stack(
        [image[:, i : i + 4, j : j + 4] for i in range(2) for j in range(2)], -2
    )  # each patch in the order of the kernel: height, width, channels
    patches = rows.reshape(2, 4, 4, 12)
    g = np.einsum("bhwp,bhwo->po", patches, outputs).reshape(2, 2, 3, 7)
    expected = tract(g.reshape(12, 7), patches.reshape(-1, 12), damping=0.1)
    np.testing.assert_allclose(update(g, patches), expected.reshape(g.shape), rtol=1e-9)


def test_a_step_moves_outputs_as_a_step_on_the_outputs_would():
    x, outputs = RNG.normal(size=(4, 6)) * 100, RNG.normal(size=(4, 3))
    moved = x @ update(x.T @ outputs / 4, x, 1e-6)
    np.testing.assert_allclose(moved, outputs, rtol=1e-6)


def test_large_damping_is_the_gradient_itself():
    x, g = RNG.normal(size=(4, 6)), RNG.normal(size=(6, 3))
    np.testing.assert_allclose(1e12 * update(g, x, 1e12), g, rtol=1e-9)


def test_the_contrast_of_inputs_does_not_set_the_size_of_the_step():
    x, outputs = RNG.normal(size=(8, 3)), RNG.normal(size=(8, 2))
    sizes = [np.linalg.norm(s * x @ update((s * x).T @ outputs, s * x, 1e-4)) for s in (1, 10)]
    np.testing.assert_allclose(*sizes, rtol=1e-3)


def test_inputs_go_through_chains_and_are_needed():
    opt, params = gl.chain(gl.clip(1e9), gl.tract(), gl.adam(0.1)), {"w": jnp.ones((3, 2))}
    state = opt.init(params)
    opt.update(params, state, params, inputs={"w": jnp.ones((4, 3))})
    with pytest.raises(TypeError, match="needs the extra argument inputs="):
        opt.update(params, state, params)


def test_containers_of_inputs_are_matched_by_path():
    from flax import nnx

    params = nnx.State({"w": nnx.Param(jnp.ones((3, 2)))})
    found, _ = gl.tract().update(params, optax.EmptyState(), inputs={"w": {"value": None}})
    assert jax.tree.leaves(found)[0].shape == (3, 2)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (
            {"v": jnp.ones((4, 3))},
            "given for v, where there is no parameter; parameters are at b, w",
        ),
        ({"w": jnp.ones((4, 2))}, r"\(4, 2\) do not fit the weights at w, of shape \(3, 2\)"),
        ({"b": jnp.ones((4, 3))}, "do not fit the weights at b"),
    ],
)
def test_inputs_that_do_not_fit_are_named(inputs, words):
    params = {"w": jnp.ones((3, 2)), "b": jnp.ones(2)}
    with pytest.raises(ValueError, match=words):
        gl.tract().update(params, optax.EmptyState(), params, inputs=inputs)


def test_damping_is_positive():
    with pytest.raises(ValueError, match=r"damping=0.0 is outside \(0, inf\)"):
        gl.tract(0.0)


def test_the_sequence_of_a_training_run_is_finite():
    g = jnp.asarray(agreement.gradient_sequence((4, 3)), jnp.float32)
    for row in g[::10]:
        found, _ = gl.tract().update(row, optax.EmptyState(), inputs=jnp.zeros((2, 4)))
        np.testing.assert_allclose(found, row / 0.1, rtol=1e-5)
