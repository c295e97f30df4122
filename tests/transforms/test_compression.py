"""Compression of updates: the curves, their limits, and derivatives at zero."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from tests.agreement import gradient_sequence
from tests.paper import compression as paper

CASES = [
    (gl.mu_law_compress, paper.mu_law, {"mu": 127.0}),
    (gl.mu_law_compress, paper.mu_law, {"mu": 0.5}),
    (gl.a_law_compress, paper.a_law, {"a": 87.6}),
    (gl.a_law_compress, paper.a_law, {"a": 1.0}),
    (gl.softsign_compress, paper.softsign, {"scale": 1.0}),
    (gl.softsign_compress, paper.softsign, {"scale": 0.2}),
]


def apply(opt, g):
    return opt.update(g, opt.init(g))[0]


@pytest.mark.parametrize(("make", "curve", "settings"), CASES)
def test_paper(make, curve, settings):
    g = gradient_sequence()
    with jax.enable_x64(True):
        ours = apply(make(**settings), jnp.asarray(g))
    np.testing.assert_allclose(ours, curve(g, **settings), rtol=1e-10)


@pytest.mark.parametrize(("make", "curve", "settings"), CASES)
def test_order_and_sign_are_kept_and_zero_is_passed_with_the_slope_next_to_it(
    make, curve, settings
):
    opt = make(**settings)
    g = jnp.linspace(-30.0, 30.0, 41)
    u = apply(opt, g)
    assert jnp.all(jnp.diff(u) > 0)
    np.testing.assert_array_equal(jnp.sign(u), jnp.sign(g))
    slope = jax.vmap(jax.grad(lambda x: apply(opt, x)))(jnp.array([0.0, 1e-6]))
    np.testing.assert_allclose(slope[0], slope[1], rtol=1e-3)


def test_one_stays_one_for_the_laws_and_the_softsign_is_bounded_by_its_scale():
    for opt in (gl.mu_law_compress(9.0), gl.a_law_compress(9.0)):
        np.testing.assert_allclose(apply(opt, jnp.array([1.0, -1.0])), [1.0, -1.0], rtol=1e-6)
    bounded = apply(gl.softsign_compress(0.3), jnp.array([1e9, -1e9]))
    np.testing.assert_allclose(bounded, [0.3, -0.3], rtol=1e-6)


def test_without_compression_updates_pass():
    g = jnp.array([0.5, -0.25, 0.9])
    np.testing.assert_allclose(apply(gl.mu_law_compress(1e-4), g), g, rtol=1e-3)
    np.testing.assert_allclose(apply(gl.a_law_compress(1.0), g), g, rtol=1e-6)
    np.testing.assert_allclose(apply(gl.softsign_compress(1e6), g), g, rtol=1e-5)


@pytest.mark.parametrize(("make", "curve", "settings"), CASES)
def test_complex_numbers_keep_their_phase(make, curve, settings):
    z = jnp.array([3 + 4j, -1j, 0j])
    u = apply(make(**settings), z)
    np.testing.assert_allclose(jnp.abs(u), curve(np.abs(z), **settings), rtol=1e-5)
    np.testing.assert_allclose(jnp.angle(u[:2]), jnp.angle(z[:2]), rtol=1e-6)


def test_momentum_can_be_compressed():
    opt = gl.chain(gl.trace(0.5), gl.softsign_compress(1.0), gl.sgd(1.0))
    state, g = opt.init(jnp.zeros(1)), jnp.ones(1)
    first, state = opt.update(g, state)
    second, state = opt.update(g, state)
    np.testing.assert_allclose([first[0], second[0]], [-0.5, -0.6], rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gl.mu_law_compress(0.0), r"mu=0\.0 is outside \(0, inf\)"),
        (lambda: gl.a_law_compress(0.5), r"a=0\.5 is outside \[1, inf\)"),
        (lambda: gl.softsign_compress(-1.0), r"scale=-1\.0 is outside \(0, inf\)"),
    ],
)
def test_bad_input_names_argument_value_and_bound(make, message):
    with pytest.raises(ValueError, match=message):
        make()
