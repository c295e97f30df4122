"""Eigenpairs from products with vectors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradlab.linalg import eigh, extreme_eigenpairs, lanczos


def symmetric(values, seed=0):
    draw = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(draw.normal(size=(len(values), len(values))))
    return jnp.asarray(basis * np.asarray(values) @ basis.T)


def starts(order, size, dtype=None):
    return jax.random.normal(jax.random.PRNGKey(1), (order, size), dtype)


SPECTRA = {
    "distinct": [-3.0, -1.0, 0.5, 1.0, 2.0, 4.0, 9.0],
    "several times": [2.0, 2.0, 2.0, 2.0, 5.0, 5.0, 7.0],
    "singular": [0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0],
    "nothing": [0.0] * 7,
    "the identity": [1.0] * 7,
}


@pytest.mark.parametrize("name", SPECTRA)
def test_all_eigenpairs_are_found_as_often_as_they_occur(name):
    with jax.enable_x64(True):
        matrix = symmetric(SPECTRA[name])
        values, vectors = extreme_eigenpairs(lambda v: matrix @ v, starts(7, 7), 7)
        np.testing.assert_allclose(values, np.sort(SPECTRA[name]), atol=1e-12)
        np.testing.assert_allclose(vectors @ vectors.T, np.eye(7), atol=1e-12)
        np.testing.assert_allclose(vectors @ matrix, values[:, None] * vectors, atol=1e-12)


def test_few_products_find_the_extremes_of_a_large_matrix():
    spectrum = np.concatenate([[-9.0], np.linspace(-1, 1, 197), [8.0, 12.0]])
    matrix = symmetric(spectrum).astype(jnp.float32)
    values, vectors = extreme_eigenpairs(
        lambda v: matrix @ v, starts(20, 200, jnp.float32), largest=2, smallest=1
    )
    np.testing.assert_allclose(values, [-9, 8, 12], rtol=1e-5)
    np.testing.assert_allclose(matrix @ vectors.T, vectors.T * values, atol=1e-3)


def test_the_basis_is_orthonormal_and_the_matrix_tridiagonal():
    with jax.enable_x64(True):
        matrix = symmetric(SPECTRA["distinct"])
        basis, small = lanczos(lambda v: matrix @ v, starts(5, 7))
        np.testing.assert_allclose(basis @ basis.T, np.eye(5), atol=1e-13)
        np.testing.assert_allclose(basis @ matrix @ basis.T, small, atol=1e-12)
        assert not np.any(np.triu(small, 2))


@pytest.mark.parametrize("order", [4, 7])
def test_the_derivative_of_a_function_in_the_span_is_exact(order):
    with jax.enable_x64(True):
        one, two = symmetric(SPECTRA["distinct"]), symmetric(SPECTRA["several times"], 3)
        g, start = jnp.arange(7.0), starts(order, 7)

        def newton(t):
            values, vectors = extreme_eigenpairs(lambda v: one @ v + t * (two @ v), start, 2)
            return jnp.sum(jnp.sin(vectors.T @ ((vectors @ g) / values)))

        h = 1e-6
        difference = (newton(0.3 + h) - newton(0.3 - h)) / (2 * h)
        np.testing.assert_allclose(jax.grad(newton)(0.3), difference, rtol=1e-7)
        np.testing.assert_allclose(jax.jvp(newton, (0.3,), (1.0,))[1], difference, rtol=1e-7)


def test_the_derivative_is_finite_where_eigenvalues_are_equal():
    def trace_of_square(t):
        values, vectors = eigh(t * jnp.eye(3))
        return jnp.sum((vectors * values**2) @ vectors.T)

    np.testing.assert_allclose(jax.grad(trace_of_square)(2.0), 12.0, rtol=1e-6)
    np.testing.assert_allclose(jax.jvp(trace_of_square, (2.0,), (1.0,))[1], 12.0, rtol=1e-6)
