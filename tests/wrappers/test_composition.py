"""Wrappers around wrappers: what makes sense works, and what does not says what to write."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from gradlab import catalog, core
from gradlab.testing._subject import Subject, loss, problem_params

WRAPPERS = {
    entry.name: entry
    for entry in catalog.entries()
    if entry.room == "wrappers" and isinstance(entry.make().rule, core.Around)
}
INNER = (
    "accumulate_gradients",
    "apply_if_finite",
    "average_iterates",
    "dynamic_loss_scale",
    "flat",
    "granet",
    "kahan_summation",
    "lookahead",
    "looksam",
    "quantize_state",
    "sam",
    "schedule_free",
    "watch",
    "xgrad",
)
"""One wrapper for each way in which they work."""
PARAMS = problem_params()


def extras(entry, opt):
    """The extra arguments that a nest needs, as its outer wrapper is handed them."""
    found = Subject.of(entry).extra(PARAMS)
    return {name: found[name] for name in opt.rule.required()}


def nested(outer, inner):
    return around(outer, WRAPPERS[inner].make())


def around(name, inner, **arguments):
    """The wrapper of this name around a transformation."""
    field = WRAPPERS[name].make().rule.inner_field
    return WRAPPERS[name].make(**{field: inner}, **arguments)


@functools.cache
def refusals():
    """The pairs that are refused, with the message."""
    found = {}
    for outer in WRAPPERS:
        for inner in INNER:
            try:
                nested(outer, inner)
            except ValueError as error:
                found[outer, inner] = str(error)
    return found


@pytest.mark.parametrize("outer", WRAPPERS)
def test_each_wrapper_works_around_each_other_or_refuses_with_a_remedy(outer):
    for inner in INNER:
        if (outer, inner) in refusals():
            message = refusals()[outer, inner]
            assert message.startswith(f"{outer}: ")
            assert f"={inner}(…)" in message
            continue
        opt = nested(outer, inner)
        state = jax.eval_shape(opt.init, PARAMS)
        step = functools.partial(opt.update, **extras(WRAPPERS[outer], opt))
        updates, new_state = jax.eval_shape(step, PARAMS, state, PARAMS)
        assert jax.tree.map(lambda x: (x.shape, x.dtype), updates) == jax.tree.map(
            lambda x: (x.shape, x.dtype), PARAMS
        ), (outer, inner)
        assert jax.tree.map(lambda x: (x.shape, x.dtype), new_state) == jax.tree.map(
            lambda x: (x.shape, x.dtype), state
        ), (outer, inner)


def test_what_is_refused_the_other_way_around_is_not():
    for outer, inner in refusals():
        if "; write " in refusals()[outer, inner] and outer in INNER:
            assert (inner, outer) not in refusals(), (outer, inner)


def test_a_mode_for_narrow_parameters_holds_what_moves_them_and_is_held_by_what_does_not():
    gl.master_weights(gl.xgrad(gl.sgd(0.1)))
    gl.accumulate_gradients(gl.master_weights(gl.sgd(0.1)), 2)
    with pytest.raises(ValueError, match=r"write kahan_summation\(xgrad\(…\)\)"):
        gl.xgrad(gl.kahan_summation(gl.sgd(0.1)))
    with pytest.raises(ValueError, match="they have one mode"):
        gl.master_weights(gl.kahan_summation(gl.sgd(0.1)))


@pytest.mark.parametrize("opt", [gl.master_weights(gl.sgd(0.1)), gl.xgrad(gl.sgd(0.1))], ids=repr)
def test_what_says_where_parameters_land_is_the_last_link(opt):
    gl.chain(gl.clip_by_global_norm(1.0), opt)
    name = opt.rule.owner()
    with pytest.raises(ValueError, match=rf"^chain: {name}.* has to be the last link"):
        gl.chain(opt, gl.scale(0.5))
    with pytest.raises(ValueError, match=rf"^named_chain: {name}.* has to be the last link"):
        gl.named_chain(("step", opt), ("half", gl.scale(0.5)))
    with pytest.raises(ValueError, match="has to be the last link"):
        gl.chain(gl.chain(gl.identity(), opt), gl.scale(0.5))


def test_gradients_of_ones_own_are_taken_for_each_micro_batch():
    with pytest.raises(ValueError, match=r"write sam\(accumulate_gradients\(…\)\)"):
        gl.accumulate_gradients(gl.sam(gl.sgd(0.1)), 2)
    gl.accumulate_gradients(gl.sam(gl.sgd(0.1)), 1)
    opt = gl.sam(gl.accumulate_gradients(gl.sgd(0.1), 2), rho=0.5)
    state, total = opt.init(PARAMS), jax.tree.map(jnp.zeros_like, PARAMS)
    for _ in range(2):
        grads = jax.grad(loss)(PARAMS)
        updates, state = opt.update(grads, state, PARAMS, grad_fn=jax.grad(loss))
        total = jax.tree.map(jnp.add, total, updates)
    whole = gl.sam(gl.sgd(0.1), rho=0.5)
    once, _ = whole.update(
        jax.grad(loss)(PARAMS), whole.init(PARAMS), PARAMS, grad_fn=jax.grad(loss)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), total, once)


OFF = {
    "accumulate_gradients": {"every": 1},
    "watch": {"active": False},
    "stochastic_rounding": {},
    "kahan_summation": {},
    "master_weights": {},
    "weight_splitting": {},
}
"""What switches a wrapper off, so that nothing is left of it; parameters of 32 bits for modes."""


def program(opt):
    """What is compiled for a step, without the names of the state's fields."""

    def step(grads, state, params):
        updates, state = opt.update(grads, state, params)
        return jax.tree.map(jnp.add, params, updates), state

    text = jax.jit(step).lower(PARAMS, opt.init(PARAMS), PARAMS).as_text()
    return re.sub(r'jax.result_info = "[^"]*"', "", text)


@pytest.mark.parametrize("name", OFF)
def test_what_is_switched_off_leaves_the_program_of_the_inner_optimizer(name):
    inner = gl.chain(gl.clip_by_global_norm(1.0), gl.adamw(0.1))
    off = around(name, inner, **OFF[name])
    assert program(off) == program(inner)
