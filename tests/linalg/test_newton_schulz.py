"""The Newton–Schulz iteration: what it converges to, and what it does at zero."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradlab.linalg import PRECONDITIONINGS, newton_schulz
from tests.paper import muon as paper

CONVERGENT = (1.875, -1.25, 0.375)


@pytest.mark.parametrize("preconditioning", PRECONDITIONINGS)
def test_singular_values_become_one(preconditioning):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 6, 4)), jnp.float32)
    y = newton_schulz(x, CONVERGENT, steps=25, preconditioning=preconditioning)
    assert y.shape == x.shape
    np.testing.assert_allclose(jnp.linalg.svd(y, compute_uv=False), 1.0, atol=1e-5)


@pytest.mark.parametrize("preconditioning", PRECONDITIONINGS)
def test_one_row_of_coefficients_for_each_step(preconditioning):
    x = np.random.default_rng(1).normal(size=(4, 7))
    with jax.enable_x64(True):
        ours = newton_schulz(jnp.asarray(x), paper.DION, steps=1, preconditioning=preconditioning)
    expected = paper.orthogonalize(x, np.array(paper.DION), 1e-8, preconditioning)
    np.testing.assert_allclose(ours, expected, rtol=1e-10)


# "aol" and "schatten" divide rows by at least eps, which therefore has to be positive there.
EPS_ZERO = [(name, 0.0) for name in PRECONDITIONINGS if name not in ("aol", "schatten")]


@pytest.mark.parametrize(
    ("preconditioning", "eps"), EPS_ZERO + [(name, 1e-8) for name in PRECONDITIONINGS]
)
def test_zero_gives_zero_with_a_finite_derivative(preconditioning, eps):
    def total(x):
        steps = {"preconditioning": preconditioning, "eps": eps}
        return jnp.sum(newton_schulz(x, paper.STANDARD, **steps))

    @jax.jit
    def at_zero(x):
        return jax.value_and_grad(total)(x), jax.jvp(total, (x,), (jnp.ones_like(x),))

    (value, slope), (_, forward) = at_zero(jnp.zeros((3, 5)))
    assert value == 0
    assert jnp.all(jnp.isfinite(slope))
    assert jnp.isfinite(forward)


def test_complex_matrices_and_matrices_without_elements():
    draw = np.random.default_rng(2)
    x = jnp.asarray(draw.normal(size=(3, 5)) + 1j * draw.normal(size=(3, 5)), jnp.complex64)
    for preconditioning in PRECONDITIONINGS:
        y = newton_schulz(x, CONVERGENT, steps=25, preconditioning=preconditioning)
        np.testing.assert_allclose(y @ y.conj().T, np.eye(3), atol=1e-5)
    assert newton_schulz(jnp.zeros((2, 0, 3)), CONVERGENT).shape == (2, 0, 3)


def test_large_matrices_take_turns_inside_of_a_program_with_the_same_numbers():
    x = jnp.asarray(np.random.default_rng(3).normal(size=(3, 200, 400)), jnp.float32)
    together, in_turns = newton_schulz(x, paper.STANDARD), jax.jit(newton_schulz, static_argnums=1)
    program = in_turns.lower(x, paper.STANDARD).as_text()
    assert "stablehlo.while" in program
    assert "stablehlo.while" not in in_turns.lower(x[:, :20, :20], paper.STANDARD).as_text()
    np.testing.assert_allclose(in_turns(x, paper.STANDARD), together, atol=1e-5)
    swept = jax.jit(jax.vmap(lambda y: newton_schulz(y, paper.STANDARD)))(x[None])
    np.testing.assert_allclose(swept[0], together, atol=1e-5)
    slope = jax.grad(lambda y: jnp.sum(newton_schulz(y, paper.STANDARD, steps=2) ** 3))
    np.testing.assert_allclose(jax.jit(slope)(x), slope(x), rtol=1e-3, atol=1e-6)
