"""The write order changes no bit and disappears where it would not help."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from gradlab import core, testing

COLLECTIVES = re.compile(r"(all-\w+|collective-\w+|reduce-scatter)(-start)?\(")
SPECIAL = jnp.array([0.0, -0.0, 1.0, jnp.inf, -jnp.inf, jnp.nan, 1e-45], jnp.float32)


@pytest.mark.parametrize("first", list(np.asarray(SPECIAL)), ids=str)
def test_the_value_passes_bit_for_bit_whatever_comes_first(first):
    other = SPECIAL.at[0].set(first)
    out = jax.jit(core.written_after)(SPECIAL, other)
    np.testing.assert_array_equal(
        np.asarray(out).view(np.uint32), np.asarray(SPECIAL).view(np.uint32)
    )


def test_derivatives_and_vmap_do_not_see_it():
    x = jnp.arange(3.0)
    assert (
        str(jax.make_jaxpr(jax.vmap(core.written_after))(x[:, None], x[:, None])).count(
            "written_after"
        )
        == 0
    )
    gradient = jax.grad(lambda x: jnp.sum(core.written_after(x, 2 * x) ** 2))(x)
    np.testing.assert_array_equal(gradient, 2 * x)


def test_sharded_leaves_get_no_collective():
    mesh = jax.make_mesh((8,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))
    x = jax.device_put(jnp.ones((16,)), split)
    text = jax.jit(lambda a, b: core.written_after(a, b * 2)).lower(x, x).compile().as_text()
    assert not COLLECTIVES.search(text)
    assert "select(" not in text


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_only_cpu_orders_writes(platform):
    # Elsewhere the compiler writes several outputs from one kernel; an order would split it.
    x = jax.ShapeDtypeStruct((8,), jnp.float32)
    traced = jax.jit(lambda a, b: core.written_after(a, b * 2)).trace(x, x)
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    assert ("select" in text) == (platform == "cpu")


def step_of(opt):
    def step(params, state, gradient):
        updates, state = opt.update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    return step


def test_a_sharded_step_of_an_ordered_rule_has_no_collective():
    mesh = jax.make_mesh((8,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))
    x = jax.device_put(jnp.ones((16,)), split)
    for opt in (gl.lion(0.1), gl.adopt(0.1, nesterov=True), gl.adabelief(0.1)):
        state = opt.init(x)
        text = jax.jit(step_of(opt)).lower(x, state, x).compile().as_text()
        assert not COLLECTIVES.search(text)


@pytest.mark.parametrize("opt", [gl.lion(0.1), gl.adopt(0.1, nesterov=True)], ids=["lion", "adopt"])
def test_an_ordered_step_is_the_unordered_one_bit_for_bit(opt, monkeypatch):
    draw = np.random.default_rng(0)
    p, g = (jnp.asarray(draw.normal(size=(4, 33)), jnp.float32) for _ in range(2))
    state = jax.vmap(opt.init)(p)
    (direction, *rest) = state
    fields = {n: jnp.asarray(draw.random((4, 33)), jnp.float32) for n in opt.rule.written_last}
    state = (direction._replace(**fields), *rest)
    one = jax.tree.map(lambda x: x[0], (p, state, g))

    def slopes(p, state, g):
        return jax.grad(lambda p: jnp.sum(step_of(opt)(p, state, g)[0] ** 2))(p)

    def results():
        jax.clear_caches()
        ordered = jax.jit(step_of(opt)).lower(*one).as_text()
        return ordered, (
            jax.jit(step_of(opt))(*one),
            jax.jit(jax.vmap(step_of(opt)))(p, state, g),
            jax.jit(slopes)(*one),
        )

    text, with_order = results()
    monkeypatch.setattr(core._rule.Rule, "written_last", ())
    for base in type(opt.rule).__mro__:
        if "written_last" in vars(base):
            monkeypatch.setattr(base, "written_last", ())
    plain, without = results()
    assert text.count("select") > plain.count("select")
    for a, b in zip(jax.tree.leaves(with_order), jax.tree.leaves(without), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_scalars_and_empty_arrays_pass():
    assert core.written_after(jnp.float32(2.0), jnp.float32(1.0)) == 2.0
    assert core.written_after(jnp.zeros((0, 2)), jnp.zeros((0, 2))).shape == (0, 2)


def _temporary(opt, size=100_000):
    """Bytes that a donated step needs besides its arguments, in units of one parameter array."""
    return testing.temporaries(testing.compiled_step(opt, size), size)


@pytest.mark.parametrize(
    ("opt", "theirs"),
    [
        (gl.lion(1e-3), optax.lion(1e-3)),
        (gl.adabelief(1e-3), optax.adabelief(1e-3)),
        (gl.adopt(1e-3, nesterov=True), optax.contrib.adopt(1e-3, nesterov=True)),
        (
            gl.chain(gl.clip_by_global_norm(1.0), gl.adamw(1e-3)),
            optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3)),
        ),
    ],
    ids=["lion", "adabelief", "adopt", "clip"],
)
def test_a_step_copies_nothing_of_parameter_size(opt, theirs):
    assert _temporary(opt) < 0.25
    assert _temporary(theirs) > 0.9, "optax has mended it: is the order still worth its code?"


def test_the_order_survives_a_later_link():
    assert _temporary(gl.chain(gl.lion(1e-3), gl.sgd(0.5))) < 0.25
    assert _temporary(gl.named_chain(("lion", gl.lion(1e-3)))) < 0.25


def test_an_absent_gradient_orders_nothing():
    opt = gl.lion(0.1)
    params = {"a": jnp.ones(3), "b": jnp.ones(2)}
    state = opt.init(params)
    updates, state = jax.jit(opt.update)({"a": jnp.ones(3), "b": None}, state, params)
    assert updates["b"] is None
    np.testing.assert_array_equal(state[0].mu["b"], 0)
