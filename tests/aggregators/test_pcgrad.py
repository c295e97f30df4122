"""PCGrad: the paper's numbers, random orders, and what is no stack of gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from gradlab.aggregators import _pcgrad
from gradlab.aggregators._stacked import combine, gramian
from tests.paper.pcgrad import pcgrad as paper
from tests.reference.load import curves


@pytest.mark.parametrize("curve", curves("pcgrad"), ids=lambda c: c.name)
def test_the_paper_and_torchjd(curve):
    @jax.jit
    def aggregate(stack, orders):
        return combine(_pcgrad.projected_weights(gramian(stack), orders), stack)

    with jax.enable_x64(True):
        for stack, orders, expected in zip(
            curve.gradients, curve.extra["orders"].astype(int), curve.updates, strict=True
        ):
            ours = aggregate(jnp.asarray(stack), jnp.asarray(orders))
            np.testing.assert_allclose(ours, expected, rtol=curve.rtol, atol=curve.atol)
            if np.abs(stack).max(axis=1).all():
                np.testing.assert_allclose(ours, paper(stack, orders), rtol=1e-10, atol=1e-12)


def conflicting(scale=1.0):
    """Three gradients on two arrays, each against each other one."""
    flat = scale * np.array([[1.0, 0.1, 0.0], [-0.5, 1.0, 0.2], [-0.6, -0.7, 0.3]])
    return {"a": jnp.asarray(flat[:, :2], jnp.float32), "b": jnp.asarray(flat[:, 2], jnp.float32)}


PARAMS = {"a": jnp.zeros(2), "b": jnp.zeros(())}


def test_orders_come_from_the_key():
    opt = gl.pcgrad()
    update = jax.jit(opt.update)
    state = first = opt.init(PARAMS)
    drawn = []
    for _ in range(20):
        updates, state = update(conflicting(), state, PARAMS)
        drawn.append(tuple(np.asarray(updates["a"]).tolist()))
    assert state.key.dtype == jnp.uint32
    assert len(set(drawn)) > 1
    again, _ = update(conflicting(), first, PARAMS)
    assert tuple(np.asarray(again["a"]).tolist()) == drawn[0]
    given = [
        update(conflicting(), state, PARAMS, key=jax.random.PRNGKey(i))[0]["b"] for i in range(8)
    ]
    assert len({float(b) for b in given}) > 1
    key = jax.random.key(3)
    assert gl.pcgrad(key) == gl.pcgrad(jax.random.key_data(key))
    np.testing.assert_array_equal(gl.pcgrad(3).init({}).key, gl.pcgrad(key).init({}).key)
    with pytest.raises(TypeError, match="traced key"):
        jax.jit(lambda k: gl.pcgrad(k).init({}))(key)


def test_without_conflict_it_is_the_sum():
    stack = {"a": jnp.array([[1.0, 2.0], [3.0, 0.1]]), "b": jnp.array([1.0, 0.0])}
    opt = gl.pcgrad()
    updates, _ = opt.update(stack, opt.init(PARAMS), PARAMS)
    for name, x in stack.items():
        np.testing.assert_array_equal(updates[name], jnp.sum(x, axis=0))


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_scales_do_not_matter(scale):
    opt = gl.pcgrad()
    plain, _ = opt.update(conflicting(), opt.init(PARAMS), PARAMS)
    scaled, _ = opt.update(conflicting(scale), opt.init(PARAMS), PARAMS)
    np.testing.assert_allclose(scaled["a"] / scale, plain["a"], rtol=1e-5, atol=1e-6)


def test_gradients_of_no_objective_and_all_objectives_zero():
    def total(opt, stack):
        updates, _ = opt.update(stack, opt.init(PARAMS), PARAMS)
        return sum(jnp.sum(x) for x in jax.tree.leaves(updates))

    zero = jax.tree.map(jnp.zeros_like, conflicting())
    slopes = jax.jit(jax.grad(total, argnums=1))(gl.pcgrad(), zero)
    assert total(gl.pcgrad(), zero) == 0
    assert all(jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(slopes))
    one_dead = jax.tree.map(lambda x: x.at[1].set(0), conflicting())
    slopes = jax.jit(jax.grad(total, argnums=1))(gl.pcgrad(), one_dead)
    assert all(jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(slopes))


@pytest.mark.parametrize("make", [gl.pcgrad, gl.upgrad], ids=["pcgrad", "upgrad"])
def test_a_gradient_that_was_summed_is_refused(make):
    opt, params = make(), {"layer": {"w": jnp.zeros((2, 2)), "b": jnp.zeros(2)}}
    state = opt.init(params)
    with pytest.raises(ValueError, match=r"\['layer'\]\['b'\].*\(2,\).*already summed"):
        opt.update(params, state, params)
    with pytest.raises(ValueError, match="already summed"):
        opt.update(jnp.float32(1.0), state)
    uneven = {"layer": {"w": jnp.zeros((3, 2, 2)), "b": jnp.zeros((4, 2))}}
    with pytest.raises(ValueError, match=r"4 at .*'b'.*3 at .*'w'"):
        opt.update(uneven, state, params)
    with pytest.raises(ValueError, match="number of objectives"):
        opt.update({"layer": {"w": jnp.zeros((0, 2, 2)), "b": None}}, state, params)


@pytest.mark.parametrize("make", [gl.pcgrad, gl.upgrad], ids=["pcgrad", "upgrad"])
def test_first_link_of_a_chain(make):
    opt = gl.chain(make(), gl.adam(0.1))
    params = {"w": jnp.array([1.0, -2.0]), "half": jnp.ones(3, jnp.bfloat16), "none": None}

    def losses(p):
        reach = jnp.sum(p["half"].astype(jnp.float32))
        return jnp.stack([jnp.sum((p["w"] - 1) ** 2), jnp.sum((p["w"] + 1) ** 2) + reach**2])

    def step(carry, _):
        params, state = carry
        updates, state = opt.update(jax.jacrev(losses)(params), state, params)
        return (optax.apply_updates(params, updates), state), losses(params)

    run = jax.jit(lambda p, s: jax.lax.scan(step, (p, s), None, length=40))
    (end, _), history = run(params, opt.init(params))
    assert end["half"].dtype == jnp.bfloat16
    assert jnp.all(history[-1] < history[0])
