"""Chains compose data and foreign transformations, and pass extra arguments."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl

PARAMS = {"w": jnp.arange(3.0)}


def test_a_chain_is_its_links_one_after_the_other():
    chained = gl.chain(gl.clip_by_global_norm(0.5), gl.adam(0.1))
    foreign = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(0.1))
    ours, theirs = chained.init(PARAMS), foreign.init(PARAMS)
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    a, _ = chained.update(PARAMS, ours, PARAMS)
    b, _ = foreign.update(PARAMS, theirs, PARAMS)
    np.testing.assert_allclose(a["w"], b["w"], rtol=1e-6)


def test_a_foreign_link_works_and_has_no_leaves():
    opt = gl.chain(optax.trace(0.9), gl.sgd(0.1))
    assert gl.hyperparameters(opt) == {"links[1].learning_rate": 0.1}
    updates, _ = jax.jit(lambda o, p: o.update(p, o.init(p), p))(opt, PARAMS)
    np.testing.assert_allclose(updates["w"], -0.1 * PARAMS["w"], rtol=1e-6)


def test_a_foreign_link_keeps_its_dtype_on_bfloat16_parameters():
    opt = gl.chain(gl.clip_by_global_norm(1.0), optax.adam(0.1))
    params = {"w": jnp.ones(3, jnp.bfloat16)}
    state = opt.init(params)
    _, new_state = opt.update({"w": jnp.ones(3, jnp.float32)}, state, params)
    assert jax.tree.map(lambda x: x.dtype, state) == jax.tree.map(lambda x: x.dtype, new_state)


def test_what_is_no_transformation_is_refused():
    with pytest.raises(TypeError, match=r"chain: expected a gradient transformation.*called"):
        gl.chain(gl.sgd)


def test_a_named_chain_keeps_states_by_name():
    opt = gl.named_chain(("clip", gl.clip_by_global_norm(1.0)), ("step", gl.sgd(0.1, momentum=0.9)))
    theirs = optax.named_chain(
        ("clip", optax.clip_by_global_norm(1.0)), ("step", optax.sgd(0.1, momentum=0.9))
    )
    assert jax.tree.structure(opt.init(PARAMS)) == jax.tree.structure(theirs.init(PARAMS))
    _, state = opt.update(PARAMS, opt.init(PARAMS), PARAMS)
    assert set(state) == {"clip", "step"}
    assert gl.current(opt, state)["links[1].momentum"] == 0.9
    with pytest.raises(ValueError, match="'a' stands for two"):
        gl.named_chain(("a", gl.sgd(0.1)), ("a", gl.sgd(0.1)))


def test_the_state_of_another_chain_is_refused():
    with pytest.raises(ValueError, match="1 parts for 2 links"):
        gl.chain(gl.sgd(0.1), gl.sgd(0.1)).update(
            PARAMS, gl.chain(gl.sgd(0.1)).init(PARAMS), PARAMS
        )


def test_extra_arguments_reach_every_link_and_near_misses_raise():
    seen = {}

    def update(updates, state, params=None, *, value, temperature, **extra):
        seen.update(extra, value=value, temperature=temperature)
        return updates, state

    needy = optax.GradientTransformationExtraArgs(lambda p: optax.EmptyState(), update)
    opt = gl.chain(gl.sgd(0.1), needy)
    state = opt.init(PARAMS)
    opt.update(PARAMS, state, PARAMS, value=1.0, temperature=2.0, other=3.0)
    assert seen == {"value": 1.0, "temperature": 2.0, "other": 3.0}
    with pytest.raises(TypeError, match="did you mean 'temperature'"):
        opt.update(PARAMS, state, PARAMS, value=1.0, temperatur=2.0)


def test_a_strict_chain_refuses_what_no_link_declares():
    opt = gl.chain(gl.sgd(0.1), strict=True)
    opt.update(PARAMS, opt.init(PARAMS), PARAMS, value=1.0)
    with pytest.raises(TypeError, match="undeclared argument 'colour'"):
        opt.update(PARAMS, opt.init(PARAMS), PARAMS, colour=1.0)


def test_an_empty_chain_is_the_identity():
    opt = gl.chain()
    updates, _ = opt.update(PARAMS, opt.init(PARAMS), PARAMS)
    np.testing.assert_array_equal(updates["w"], PARAMS["w"])


def test_chains_nest():
    flat = gl.chain(gl.clip_by_global_norm(0.5), gl.scale_by_adam(), gl.sgd(0.1))
    nested = gl.chain(gl.chain(gl.clip_by_global_norm(0.5), gl.scale_by_adam()), gl.sgd(0.1))
    a, _ = flat.update(PARAMS, flat.init(PARAMS), PARAMS)
    b, _ = nested.update(PARAMS, nested.init(PARAMS), PARAMS)
    np.testing.assert_array_equal(a["w"], b["w"])
    assert gl.replace(nested, learning_rate=0.5).links[1].learning_rate == 0.5
