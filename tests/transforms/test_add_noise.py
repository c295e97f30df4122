"""Annealed noise: its paper, optax, and where its numbers come from."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from tests import agreement
from tests.paper import transcription
from tests.reference.load import curves


@pytest.mark.parametrize("curve", curves("add_noise"), ids=lambda curve: curve.name)
def test_paper_and_reference(curve):
    agreement.assert_matches_reference(gl.add_noise(**curve.settings), curve)
    rows = transcription("add_noise")(
        curve.gradients, curve.params, draws=curve.extra["draws"], **curve.settings
    )
    np.testing.assert_allclose([update for update, _ in rows], curve.updates, rtol=1e-10)


def _steps(opt, params, steps=5):
    state, found = opt.init(params), []
    for _ in range(steps):
        updates, state = opt.update(jax.tree.map(jnp.ones_like, params), state, params)
        found.append(updates)
    return jax.tree.map(lambda *x: np.stack(x), *found)


@pytest.mark.filterwarnings("ignore:.seed. is deprecated")
@pytest.mark.parametrize("source", [{"key": 3}, {"seed": 3}, {"key": jax.random.key(3)}])
def test_the_numbers_are_those_of_optax(source):
    params = agreement.parameter_tree()
    ours, theirs = (_steps(f(0.1, 0.55, **source), params) for f in (gl.add_noise, optax.add_noise))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), ours, theirs)


def test_a_state_of_optax_continues_here():
    params = jnp.ones(4)
    ours, theirs = gl.add_noise(0.1, 0.55, 3), optax.add_noise(0.1, 0.55, 3)
    state = theirs.update(params, theirs.init(params))[1]
    expected, their_state = theirs.update(params, state)
    updates, our_state = ours.update(params, state)
    np.testing.assert_allclose(updates, expected, rtol=1e-6)
    assert jax.tree.structure(our_state) == jax.tree.structure(their_state)
    assert our_state.rng_key.dtype == their_state.rng_key.dtype


def test_the_variance_is_that_of_the_paper():
    updates = _steps(gl.add_noise(0.3, 1.0, 0), jnp.zeros(20_000))
    np.testing.assert_allclose(
        np.var(np.asarray(updates), axis=1), 0.3 / np.arange(1, 6), rtol=0.05
    )


def test_without_variance_nothing_changes_and_derivatives_are_finite():
    def total(eta):
        opt = gl.replace(gl.add_noise(0.1, 0.55, 0), eta=eta)
        return opt.update(jnp.ones(3), opt.init(jnp.ones(3)))[0].sum()

    assert total(0.0) == 3.0
    assert jax.grad(total)(0.0) == 0


def test_a_passed_key_is_not_read():
    opt, gradient = gl.add_noise(0.1, 0.55, 0), jnp.ones(3)
    state = opt.init(gradient)
    passed, _ = opt.update(gradient, state, key=jax.random.key(9))
    np.testing.assert_array_equal(passed, opt.update(gradient, state)[0])


def test_keys_and_seeds_are_structure():
    assert gl.add_noise(0.1, 0.5, 3) == gl.add_noise(0.1, 0.5, 3)
    assert gl.add_noise(0.1, 0.5, 3) != gl.add_noise(0.1, 0.5, 4)
    assert hash(gl.add_noise(0.1, 0.5, jax.random.key(3)))
    with pytest.raises(ValueError, match="not both"):
        gl.add_noise(0.1, 0.5, 3, seed=3)
    with pytest.raises(TypeError, match="traced key"):
        jax.jit(lambda key: gl.add_noise(0.1, 0.5, key).init(jnp.ones(2)))(jax.random.key(0))
