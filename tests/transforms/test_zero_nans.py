"""Zero in the place of what is not a number: optax, and what the state says."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

import gradlab as gl
from tests import agreement


def gradients():
    bad = jnp.array([1.0, jnp.nan, jnp.inf])
    return {"bad": bad, "good": jnp.array([[1.0, -2.0]]), "none": None}


def test_numbers_and_state_are_those_of_optax():
    params = jax.tree.map(jnp.ones_like, gradients())
    ours, theirs = gl.zero_nans(), optax.zero_nans()
    mine, other = ours.init(params), theirs.init(params)
    assert jax.tree.structure(mine) == jax.tree.structure(other)
    for g in (gradients(), params, gradients()):
        updates, mine = ours.update(g, mine, params)
        expected, other = theirs.update(g, other, params)
        jax.tree.map(np.testing.assert_array_equal, updates, expected)
        jax.tree.map(np.testing.assert_array_equal, mine, other)
        assert mine.found_nan["bad"].dtype == bool


def test_the_state_names_the_arrays_of_the_last_gradient_only():
    opt, params = gl.zero_nans(), jax.tree.map(jnp.ones_like, gradients())
    updates, state = opt.update(gradients(), opt.init(params), params)
    np.testing.assert_array_equal(updates["bad"], [1.0, 0.0, jnp.inf])
    assert state.found_nan == {"bad": True, "good": False, "none": None}
    _, state = opt.update(params, state, params)
    assert not any(jax.tree.leaves(state))


def test_an_array_without_a_gradient_keeps_what_was_found():
    opt, params = gl.zero_nans(), {"a": jnp.ones(2)}
    _, state = opt.update({"a": jnp.full(2, jnp.nan)}, opt.init(params), params)
    updates, state = opt.update({"a": None}, state, params)
    assert updates == {"a": None}
    assert state.found_nan["a"]


def test_a_part_that_is_not_a_number_makes_a_complex_entry_zero():
    g = jnp.array([1 + 1j, complex(0, jnp.nan)])
    updates, _ = gl.zero_nans().update(g, gl.zero_nans().init(g))
    np.testing.assert_array_equal(updates, [1 + 1j, 0])


def test_numbers_pass_unchanged():
    agreement.assert_same_numbers(gl.zero_nans(), gl.identity(), rtol=0)
