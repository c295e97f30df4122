"""Steps that are not finite are left out and counted, as optax does it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from gradlab import core
from tests import agreement
from tests.reference.load import curves

BAD = {3: jnp.nan, 4: jnp.inf, 9: -jnp.inf, 10: jnp.nan, 11: jnp.nan, 12: jnp.nan}


def gradients():
    values = np.asarray(agreement.gradient_sequence((6,), 40), np.float32)[:20]
    for step, value in BAD.items():
        values[step, step % 6] = value
    return jnp.asarray(values)


@pytest.mark.parametrize("limit", [0, 2, 5])
def test_numbers_and_state_are_those_of_optax(limit):
    runs = [
        agreement.open_loop(
            library.apply_if_finite(library.adam(0.1), limit), gradients(), jnp.ones(6)
        )
        for library in (gl, optax)
    ]
    assert jax.tree.structure(runs[0]) == jax.tree.structure(runs[1])
    for a, b in zip(*map(jax.tree.leaves, runs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("curve", curves("apply_if_finite"), ids=lambda c: c.name)
def test_a_stored_run_of_optax(curve):
    settings = dict(curve.settings)
    largest, limit = settings.pop("largest"), settings.pop("max_consecutive_errors")
    spoil = optax.stateless(lambda g, _: jnp.where(jnp.abs(g) > largest, jnp.nan, g))
    opt = gl.chain(spoil, gl.apply_if_finite(gl.adam(**settings), limit))
    agreement.assert_matches_reference(opt, curve)
    assert curve.states["notfinite_count"].max() > 1


def test_a_step_that_is_left_out_changes_nothing():
    opt = gl.apply_if_finite(gl.adam(0.1), 9)
    good = jnp.delete(gradients(), jnp.array(list(BAD)), axis=0)
    updates, states = agreement.open_loop(opt, gradients(), jnp.ones(6))
    alone, _ = agreement.open_loop(gl.adam(0.1), good, jnp.ones(6))
    np.testing.assert_array_equal(np.delete(updates, list(BAD), axis=0), alone)
    np.testing.assert_array_equal(updates[jnp.array(list(BAD))], 0)
    assert states.total_notfinite[-1] == len(BAD)


def test_derivatives_do_not_see_what_was_left_out():
    def end(opt):
        updates, _ = agreement.open_loop(opt, gradients(), jnp.ones(6))
        return jnp.sum(updates)

    slopes = jax.grad(end)(gl.as_arrays(gl.apply_if_finite(gl.adam(0.1), 9)))
    assert all(np.isfinite(x) for x in jax.tree.leaves(slopes))


@pytest.mark.parametrize("value", [jnp.nan, jnp.inf, -jnp.inf])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "complex64"])
def test_every_number_of_a_tree_counts(dtype, value):
    large = jnp.finfo(dtype).max
    tree = {"a": jnp.full((7, 3), large, dtype), "b": [jnp.float32(0.0), None]}
    finite = jax.jit(core.all_finite)
    assert finite(tree)
    assert not finite({**tree, "a": tree["a"].at[5, 1].set(value)})
    assert finite({})
