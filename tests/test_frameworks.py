"""gradlab's transforms pass through everything that takes an optax transformation.

The README's table says for each framework how an optimizer with plain, array and stacked
hyperparameters is passed; these tests do each.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from flax import linen as nn
from flax import nnx
from flax.training.train_state import TrainState

import gradlab as gl

PARAMS = {"w": jnp.arange(6.0).reshape(2, 3) / 10, "b": jnp.ones(3)}
RATES = (0.1, 0.2)


def loss(params):
    return sum(jnp.sum((x - 1) ** 2) for x in jax.tree.leaves(params))


def train(opt, params=PARAMS, steps=3):
    state = opt.init(params)
    for _ in range(steps):
        updates, state = opt.update(jax.grad(loss)(params), state, params)
        params = optax.apply_updates(params, updates)
    return params


def assert_same(left, right, rtol=1e-6):
    # Hyperparameters in float32 move an update by 2e-5 of its size, and updates are up to
    # a few tenths here.
    atol = 1e-7 if rtol < 1e-4 else 1e-5
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=atol), left, right)


LABELS = {"w": "fast", "b": "slow"}
COMBINATORS = {
    "chain": lambda lib, o: optax.chain(optax.clip_by_global_norm(1.0), o),
    "named_chain": lambda lib, o: optax.named_chain(("clip", optax.clip(1.0)), ("step", o)),
    "masked": lambda lib, o: optax.masked(o, {"w": True, "b": False}),
    "partition": lambda lib, o: optax.partition({"fast": o, "slow": lib.sgd(0.1)}, LABELS),
    "MultiSteps": lambda lib, o: optax.MultiSteps(o, 2).gradient_transformation(),
    "apply_if_finite": lambda lib, o: optax.apply_if_finite(o, 3),
    "lookahead-free wrapper": lambda lib, o: optax.contrib.schedule_free(o, 0.1),
    "mechanize": lambda lib, o: optax.contrib.mechanize(o),
    "flatten": lambda lib, o: optax.flatten(o),
    "inject_hyperparams": lambda lib, o: optax.inject_hyperparams(lib.adamw)(learning_rate=0.1),
}


@pytest.mark.parametrize("name", COMBINATORS)
def test_optaxs_combinators_give_the_same_numbers_with_ours_inside(name):
    ours = train(COMBINATORS[name](gl, gl.adamw(0.1)))
    theirs = train(COMBINATORS[name](optax, optax.adamw(0.1)))
    assert_same(ours, theirs, rtol=1e-5)


def test_inject_hyperparams_can_be_jitted_and_changed():
    opt = optax.inject_hyperparams(gl.adamw)(learning_rate=optax.linear_schedule(0.1, 0.0, 10))
    state = opt.init(PARAMS)
    _, state = jax.jit(opt.update)(jax.grad(loss)(PARAMS), state, PARAMS)
    assert float(state.hyperparams["learning_rate"]) == pytest.approx(0.1)


def test_train_state_takes_plain_numbers_and_shares_one_program():
    traces = 0

    def make(lr):
        return TrainState.create(apply_fn=loss, params=PARAMS, tx=gl.adamw(lr))

    @jax.jit
    def step(state):
        nonlocal traces
        traces += 1
        return state.apply_gradients(grads=jax.grad(loss)(state.params))

    for _ in range(3):
        params = step(make(0.1)).params
    assert traces == 1
    assert_same(params, train(gl.adamw(0.1), steps=1))


def test_train_state_never_reuses_the_program_of_other_array_hyperparameters():
    @jax.jit
    def step(state):
        return state.apply_gradients(grads=jax.grad(loss)(state.params)).params

    for lr in RATES:
        tx = gl.as_arrays(gl.adamw(lr))
        found = step(TrainState.create(apply_fn=loss, params=PARAMS, tx=tx))
        assert_same(found, train(gl.adamw(lr), steps=1), rtol=1e-4)


def test_train_state_takes_arrays_and_stacks_as_an_argument_of_the_step():
    def run(opt):
        state = TrainState.create(apply_fn=loss, params=PARAMS, tx=opt)
        for _ in range(3):
            state = state.apply_gradients(grads=jax.grad(loss)(state.params))
        return state.params

    assert_same(jax.jit(run)(gl.as_arrays(gl.adamw(0.1))), train(gl.adamw(0.1)), rtol=1e-4)
    swept = jax.vmap(run)(gl.stack([gl.adamw(lr) for lr in RATES]))
    assert_same(jax.tree.map(lambda x: x[1], swept), train(gl.adamw(RATES[1])), rtol=1e-4)


class Linear(nnx.Module):
    def __init__(self, rngs):
        self.w = nnx.Param(jax.random.normal(rngs.params(), (3, 2)))


def nnx_loss(model):
    return jnp.sum((model.w[...] - 1) ** 2)


def nnx_run(opt, steps=3):
    model = Linear(nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, opt, wrt=nnx.Param)
    for _ in range(steps):
        optimizer.update(model, nnx.grad(nnx_loss)(model))
    return model.w[...]


def test_nnx_optimizer_takes_plain_numbers_jitted():
    @nnx.jit
    def step(model, optimizer):
        optimizer.update(model, nnx.grad(nnx_loss)(model))

    model = Linear(nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, gl.adamw(0.1), wrt=nnx.Param)
    for _ in range(3):
        step(model, optimizer)
    assert_same(model.w[...], nnx_run(optax.adamw(0.1)), rtol=1e-5)


def test_nnx_takes_arrays_and_stacks_as_an_argument_of_the_step():
    assert_same(jax.jit(nnx_run)(gl.as_arrays(gl.adamw(0.1))), nnx_run(optax.adamw(0.1)), rtol=1e-4)
    swept = jax.vmap(nnx_run)(gl.stack([gl.adamw(lr) for lr in RATES]))
    assert_same(swept[1], nnx_run(optax.adamw(RATES[1])), rtol=1e-4)


def test_a_state_of_nnx_is_a_tree_like_any_other():
    state = nnx.state(Linear(nnx.Rngs(0)), nnx.Param)
    opt = gl.adamw(0.1)
    updates, _ = opt.update(state, opt.init(state), state)
    assert jax.tree.structure(updates) == jax.tree.structure(state)


def test_linen_parameters_train():
    model = nn.Dense(2)
    params = model.init(jax.random.key(0), jnp.ones((1, 3)))
    assert_same(train(gl.adamw(0.1), params), train(optax.adamw(0.1), params), rtol=1e-5)


@pytest.mark.parametrize("kind", ["plain", "array", "stacked"])
def test_equinox_filtered_models_train(kind):
    model = eqx.nn.MLP(3, 2, 4, 1, key=jax.random.key(0))
    params, static = eqx.partition(model, eqx.is_inexact_array)
    x = jnp.ones(3)

    @eqx.filter_jit
    def run(opt, params):
        state = opt.init(params)
        for _ in range(2):
            grads = jax.grad(lambda p: jnp.sum(eqx.combine(p, static)(x) ** 2))(params)
            updates, state = opt.update(grads, state, params)
            params = eqx.apply_updates(params, updates)
        return params

    expected = run(optax.adamw(RATES[1]), params)
    if kind == "stacked":
        opts = gl.stack([gl.adamw(lr) for lr in RATES])
        found = jax.tree.map(lambda x: x[1], jax.vmap(run, in_axes=(0, None))(opts, params))
    else:
        opt = gl.adamw(RATES[1])
        found = run(gl.as_arrays(opt) if kind == "array" else opt, params)
    assert_same(found, expected, rtol=1e-4)


def test_an_orbax_checkpoint_of_optimizer_and_state_is_exact(tmp_path):
    opt = gl.chain(gl.clip_by_global_norm(1.0), gl.adamw(gl.linear_schedule(0.1, 0.0, 10)))
    _, state = opt.update(PARAMS, opt.init(PARAMS), PARAMS)
    checkpointer = ocp.StandardCheckpointer()
    saved = {"opt": gl.hyperparameters(gl.as_arrays(opt)), "state": state}
    checkpointer.save(tmp_path / "step", saved)
    checkpointer.wait_until_finished()
    restored = checkpointer.restore(tmp_path / "step", saved)
    again = gl.concrete(gl.replace(opt, {k: float(v) for k, v in restored["opt"].items()}))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-7), again, opt)
    one, _ = opt.update(PARAMS, state, PARAMS)
    other, _ = opt.update(PARAMS, restored["state"], PARAMS)
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_pmap_and_shard_map_take_an_optimizer():
    def run(opt, params):
        return train(opt, params, steps=1)

    many = jax.tree.map(lambda x: jnp.stack([x] * 8), PARAMS)
    opts = gl.stack([gl.adamw(0.1)] * 8)
    assert_same(
        jax.tree.map(lambda x: x[3], jax.pmap(run)(opts, many)), run(gl.adamw(0.1), PARAMS), 1e-4
    )
    mesh = jax.make_mesh((8,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec
    mapped = jax.shard_map(
        lambda o, p: run(o, {"w": p})["w"],
        mesh=mesh,
        in_specs=(spec(), spec("x")),
        out_specs=spec("x"),
    )
    x = jnp.arange(16.0).reshape(16, 1)
    np.testing.assert_allclose(
        mapped(gl.as_arrays(gl.adamw(0.1)), x), run(gl.adamw(0.1), {"w": x})["w"], rtol=1e-5
    )


def test_checkpoint_hessian_and_cond_take_an_optimizer():
    def final(lr):
        opt = gl.replace(gl.adamw(0.1), learning_rate=lr)
        params = jax.checkpoint(lambda o: train(o, steps=2))(opt)
        return jax.lax.cond(lr > 0, loss, lambda p: 0.0, params)

    assert np.isfinite(jax.hessian(final)(0.1))
