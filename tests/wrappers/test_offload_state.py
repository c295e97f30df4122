"""State in the host's memory: the numbers are those of the inner optimizer."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from gradlab.wrappers import _offload_state

PARAMS = {"w": jnp.ones((4, 3)), "b": jnp.zeros(3)}


def kinds(state):
    return {x.sharding.memory_kind for x in jax.tree.leaves(state)}


@pytest.mark.parametrize("make", [gl.adamw, optax.adamw], ids=["gradlab", "optax"])
def test_the_state_lies_in_the_hosts_memory_and_steps_are_the_same(make):
    opt, plain = gl.offload_state(make(0.1)), make(0.1)
    state, theirs = opt.init(PARAMS), plain.init(PARAMS)
    step, other = jax.jit(opt.update), jax.jit(plain.update)
    for t in range(3):
        g = jax.tree.map(lambda p, t=t: p + t, PARAMS)
        updates, state = step(g, state, PARAMS)
        expected, theirs = other(g, theirs, PARAMS)
        jax.tree.map(np.testing.assert_array_equal, updates, expected)
        adam = state.inner_state[0]
        assert kinds((adam.mu, adam.nu)) == {"pinned_host"}
        assert kinds(adam.count) == kinds(PARAMS)
    jax.tree.map(np.testing.assert_array_equal, state.inner_state, theirs)


def test_parameters_and_state_are_donated_together():
    opt, plain = gl.offload_state(gl.adamw(0.1)), gl.adamw(0.1)

    def train(opt):
        def step(params, state):
            updates, state = opt.update(params, state, params)
            return optax.apply_updates(params, updates), state

        params = jax.tree.map(jnp.array, PARAMS)
        state, donated = opt.init(params), jax.jit(step, donate_argnums=(0, 1))
        for _ in range(3):
            params, state = donated(params, state)
        return params, state

    params, state = train(opt)
    jax.tree.map(np.testing.assert_array_equal, params, train(plain)[0])
    assert kinds(state.inner_state[0].mu) == {"pinned_host"}


def test_only_the_fields_that_are_named_are_put_there():
    state = gl.offload_state(gl.adam(0.1), ("nu",)).init(PARAMS).inner_state[0]
    assert kinds(state.nu) == {"pinned_host"}
    assert kinds(state.mu) == kinds(PARAMS)


def test_a_scan_over_steps_works():
    opt = gl.offload_state(gl.adam(0.1))

    def body(carry, _):
        params, state = carry
        updates, state = opt.update(params, state, params)
        return (optax.apply_updates(params, updates), state), None

    carry = PARAMS, opt.init(PARAMS)
    (_, state), _ = jax.jit(lambda c: jax.lax.scan(body, c, None, length=4))(carry)
    assert int(state.inner_state[0].count) == 4


def test_state_is_sharded_like_its_parameters():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    params = {"w": jax.device_put(jnp.ones((16, 4)), rows)}
    found = gl.offload_state(gl.adam(0.1)).init(params).inner_state[0].mu["w"].sharding
    assert found.memory_kind == "pinned_host"
    assert found.with_memory_kind("device").is_equivalent_to(rows, 2)


class Memory:
    kind = "unpinned_host"


class OldDevice:
    platform = "abacus"

    def addressable_memories(self):
        return [Memory()]


def test_a_device_without_such_memory_is_refused_by_name(monkeypatch):
    message = "offload_state: abacus devices have no pinned_host memory, only unpinned_host"
    with pytest.raises(ValueError, match=message):
        _offload_state.check_host_memory("offload_state", OldDevice())
    monkeypatch.setattr(jax, "devices", lambda: [OldDevice()])
    with pytest.raises(ValueError, match=message):
        gl.offload_state(gl.adam(0.1)).init(PARAMS)


def test_unknown_fields_are_refused():
    with pytest.raises(ValueError, match=r"unknown field of the inner state 'mv'"):
        gl.offload_state(gl.adam(0.1), ["mv"]).init(PARAMS)
    with pytest.raises(TypeError, match="expected several names"):
        gl.offload_state(gl.adam(0.1), "mu")
    with pytest.raises(TypeError, match="offload_state: expected a gradient transformation"):
        gl.offload_state(gl.adam)


def test_evaluation_parameters_come_back():
    opt = gl.offload_state(gl.average_iterates(gl.sgd(1.0), 0.5))
    found = gl.eval_params(opt, opt.init(PARAMS), PARAMS)
    assert kinds(found) == kinds(PARAMS)
