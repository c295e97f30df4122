"""Losses to stacks of gradients, and Gramians without stacks of them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from gradlab import testing
from gradlab.aggregators import value_and_gradient, value_and_gramian, value_and_jacobian

PARAMS = {
    "trunk": {"w": jnp.linspace(-1, 1, 12).reshape(4, 3), "b": jnp.array([0.1, 0.0, -0.2])},
    "heads": jnp.array([[0.5, -1.0, 0.3], [1.0, 0.2, -0.4]]),
}
SHARED = {"trunk": True, "heads": False}
INPUTS = jnp.asarray(np.random.default_rng(0).normal(size=(7, 4)), jnp.float32)


def outputs(params, x):
    hidden = jnp.tanh(x @ params["trunk"]["w"] + params["trunk"]["b"])
    return hidden @ params["heads"].T


def task_losses(params, inputs):
    return jnp.mean((outputs(params, inputs) - jnp.array([1.0, -1.0])) ** 2, axis=0)


def example_losses(params, x):
    """One loss for each of two tasks, of one example."""
    return (outputs(params, x) - jnp.array([1.0, -1.0])) ** 2


def example_loss(params, x):
    return jnp.sum(example_losses(params, x))


def flat(stack):
    return jnp.concatenate([x.reshape(len(x), -1) for x in jax.tree.leaves(stack)], axis=1)


@pytest.mark.parametrize("chunk_size", [None, 1])
def test_a_jacobian_is_jacrevs(chunk_size):
    values, stack = value_and_jacobian(task_losses, PARAMS, INPUTS, chunk_size=chunk_size)
    expected = jax.jacrev(task_losses)(PARAMS, INPUTS)
    np.testing.assert_allclose(values, task_losses(PARAMS, INPUTS), rtol=1e-6)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), stack, expected
    )


def test_tasks_times_examples_are_objectives_in_the_order_of_ravel():
    def losses(params):
        return jax.vmap(example_losses, (None, 0))(params, INPUTS)

    values, stack = value_and_jacobian(losses, PARAMS)
    assert values.shape == (7, 2)
    assert stack["heads"].shape == (14, 2, 3)
    expected = jax.grad(lambda p: losses(p)[3, 1])(PARAMS)
    np.testing.assert_allclose(stack["heads"][7], expected["heads"], rtol=1e-5)


def test_auxiliary_results():
    (values, aux), stack = value_and_jacobian(
        lambda p, *, scale: (scale * p**2, {"seen": p}),
        jnp.array([1.0, 2.0]),
        has_aux=True,
        scale=3.0,
    )
    np.testing.assert_allclose(values, [3, 12])
    np.testing.assert_allclose(aux["seen"], [1, 2])
    np.testing.assert_allclose(stack, [[6, 0], [0, 12]])


def test_shared_and_task_specific_parameters_in_a_chain():
    _, stack = value_and_jacobian(task_losses, PARAMS, INPUTS, shared=SHARED)
    assert stack["trunk"]["w"].shape == (2, 4, 3)
    assert stack["heads"].shape == (2, 3)
    total = jax.grad(lambda p: jnp.sum(task_losses(p, INPUTS)))(PARAMS)
    np.testing.assert_allclose(stack["heads"], total["heads"], rtol=1e-5)
    surgery = optax.masked(gl.upgrad(), SHARED)
    updates, _ = surgery.update(stack, surgery.init(PARAMS), PARAMS)
    plain = gl.upgrad()
    alone, _ = plain.update(stack["trunk"], plain.init(PARAMS["trunk"]), PARAMS["trunk"])
    np.testing.assert_allclose(updates["trunk"]["w"], alone["w"], rtol=1e-5)
    np.testing.assert_allclose(updates["heads"], total["heads"], rtol=1e-5)
    with pytest.raises(ValueError, match="shared marks no parameter"):
        value_and_jacobian(task_losses, PARAMS, INPUTS, shared=lambda p: False)


@pytest.mark.parametrize("chunk_size", [2, 3, 7, 100])
@pytest.mark.parametrize("fn", [example_loss, example_losses], ids=["examples", "tasks"])
def test_a_gramian_in_chunks_is_that_of_the_jacobian(fn, chunk_size):
    stack = jax.jacrev(lambda p: jax.vmap(fn, (None, 0))(p, INPUTS).ravel())(PARAMS)
    run = jax.jit(lambda p, x: value_and_gramian(fn, p, x, chunk_size=chunk_size))
    values, gram = run(PARAMS, INPUTS)
    np.testing.assert_allclose(values, jax.vmap(fn, (None, 0))(PARAMS, INPUTS), rtol=1e-5)
    np.testing.assert_allclose(gram, flat(stack) @ flat(stack).T, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shared", [None, SHARED])
def test_instance_wise_risk_without_a_jacobian_is_that_with_one(shared):
    opt = gl.upgrad()
    run = jax.jit(
        lambda p, x, s: value_and_gradient(opt, example_loss, p, x, s, chunk_size=3, shared=shared)
    )
    values, gradient, state = run(PARAMS, INPUTS, opt.init(PARAMS))
    assert values.shape == (7,)
    assert state.unsolved == 0

    def losses(params):
        return jax.vmap(example_loss, (None, 0))(params, INPUTS)

    _, stack = value_and_jacobian(losses, PARAMS, shared=shared)
    surgery = opt if shared is None else optax.masked(opt, shared)
    expected, _ = surgery.update(stack, surgery.init(PARAMS), PARAMS)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), gradient, expected
    )


def test_losses_reach_methods_that_need_them():
    opt = gl.gradnorm(7, 0.1)
    state = opt.init(PARAMS)
    _, gradient, state = value_and_gradient(opt, example_loss, PARAMS, INPUTS, state)
    total = jax.grad(lambda p: jnp.sum(jax.vmap(example_loss, (None, 0))(p, INPUTS)))(PARAMS)
    np.testing.assert_allclose(gradient["heads"], total["heads"], rtol=1e-4)
    assert jnp.all(state.start > 0)
    with pytest.raises(TypeError, match="graddrop needs the gradients themselves"):
        value_and_gradient(gl.graddrop(), example_loss, PARAMS, INPUTS, None)


def test_memory_does_not_grow_with_parameters_times_examples():
    size = 2**16

    def loss(w, x):
        return jnp.sum(jnp.tanh(w * x[0]) * x[1])

    def stored(examples):
        opt = gl.mgda()
        run = jax.jit(
            lambda w, x: value_and_gradient(opt, loss, w, x, opt.init(w), chunk_size=4)[1]
        )
        shapes = (size,), (examples, 2)
        lowered = run.lower(*(jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes))
        program = lowered.compile(compiler_options=testing.AS_USERS_COMPILE)
        return program.memory_analysis().temp_size_in_bytes / (4 * size)

    few, many = stored(8), stored(64)
    assert many < 40  # a stack of gradients alone would be 64
    assert many - few < 4


def test_a_training_loop_lowers_the_worst_losses():
    opt = gl.upgrad()
    sgd = gl.sgd(0.1)

    def step(carry, _):
        params, state, inner = carry
        values, gradient, state = value_and_gradient(opt, example_loss, params, INPUTS, state)
        updates, inner = sgd.update(gradient, inner, params)
        return (optax.apply_updates(params, updates), state, inner), values

    carry = PARAMS, opt.init(PARAMS), sgd.init(PARAMS)
    _, history = jax.jit(lambda c: jax.lax.scan(step, c, None, length=30))(carry)
    assert jnp.all(history[-1] < history[0])


def test_eight_devices_give_the_weights_of_one():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    draw = np.random.default_rng(1)
    stack = jnp.asarray(draw.normal(size=(3, 16, 4)), jnp.float32)
    split = jax.device_put(
        stack, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(None, "data"))
    )
    opt = gl.nash_mtl(3)
    run = jax.jit(lambda g: opt.update(g, opt.init(g[0]))[1].weights)
    np.testing.assert_allclose(run(split), run(stack), rtol=1e-5)


def test_batches_without_examples_are_refused():
    with pytest.raises(ValueError, match="number of examples"):
        value_and_gramian(example_loss, PARAMS, jnp.zeros((0, 4)))
