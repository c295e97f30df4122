"""SAM as optax.contrib has it: signature, states and numbers."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from gradlab.wrappers._sam_contrib import normalize, sam

STEPS = 12


def gradient(params, index=0):
    return jax.tree.map(lambda p: jnp.sin(3 * p) + p + 0.1 * index, params)


def run(opt, params, **extra):
    def step(carry, _):
        params, state = carry
        updates, state = opt.update(gradient(params), state, params, **extra)
        return (optax.apply_updates(params, updates), state), (updates, state)

    return jax.jit(lambda c: jax.lax.scan(step, c, None, length=STEPS)[1])(
        (params, opt.init(params))
    )


def test_the_signature_is_optax_s():
    ours, theirs = (inspect.signature(f).parameters for f in (sam, optax.contrib.sam))
    assert list(ours) == list(theirs)
    assert [p.default for p in ours.values()] == [p.default for p in theirs.values()]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sync_period": 3, "reset_state": False},
        {"opaque_mode": True},
        {"opaque_mode": True, "sync_period": 3, "reset_state": False},
    ],
)
def test_states_and_numbers_are_optax_s(options):
    params = {"a": jnp.linspace(-1, 2, 6).reshape(2, 3), "b": jnp.float32(0.3)}
    extra = {"grad_fn": gradient} if "opaque_mode" in options else {}

    def both(lib, make, unit):
        descent = lib.adam(lib.linear_schedule(0.1, 0.01, 5))
        ascent = lib.chain(unit(), lib.sgd(0.2, momentum=0.5))
        return run(make(descent, ascent, **options), params, **extra)

    mine = both(gl, sam, normalize)
    other = both(optax, optax.contrib.sam, optax.contrib.normalize)
    assert jax.tree.structure(mine) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(other), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_it_is_gl_sam_with_a_normalised_ascent():
    params, extra = jnp.linspace(-1.0, 1.0, 5), {"grad_fn": lambda p, i=0: gradient(p)}
    ascent = gl.chain(normalize(), gl.sgd(0.05))
    opt = sam(gl.sgd(0.1), ascent, opaque_mode=True)
    ours = run(opt, params, **extra)[0]
    np.testing.assert_array_equal(ours, run(opt, params, grad_fn=lambda p: gradient(p))[0])
    np.testing.assert_allclose(ours, run(gl.sam(gl.sgd(0.1)), params, **extra)[0], rtol=1e-5)


def test_gradients_uphill_are_averaged_over_an_axis():
    opt = sam(gl.sgd(0.1), gl.sgd(0.2), opaque_mode=True, batch_axis_name="batch")
    place = jnp.array([1.0, 2.0])

    def update(g):
        return opt.update(g, opt.init(g), g, grad_fn=lambda p, i: p)[0]

    updates = jax.vmap(update, axis_name="batch")(place)
    np.testing.assert_allclose(updates, -0.1 * np.full(2, 1.2 * 1.5), rtol=1e-6)


def test_hyperparameters_of_both_are_leaves_and_a_period_of_one_only_descends():
    opt = sam(gl.sgd(0.1), gl.chain(normalize(), gl.sgd(0.05)), sync_period=1)
    paths = ["optimizer.learning_rate", "adv_optimizer.links[1].learning_rate"]
    assert list(gl.hyperparameters(opt)) == paths
    params = jnp.linspace(-1.0, 1.0, 5)
    np.testing.assert_allclose(
        run(opt, params)[0], run(gl.sgd(0.1), params)[0], rtol=1e-5, atol=1e-7
    )


def test_a_zero_gradient_stays_zero():
    zero = jnp.zeros(3)
    assert not normalize().update(zero, normalize().init(zero))[0].any()
    slope = jax.jacrev(lambda g: normalize().update(g, normalize().init(g))[0])(zero)
    assert jnp.all(jnp.isfinite(slope))
