"""Powers of positive semi-definite matrices on their range."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def psd_inverse(matrix: jax.Array, root: bool = False) -> jax.Array:
    """The pseudo-inverse of a positive semi-definite matrix, or the root of it.

    The derivative is that of matrices of the same rank. It is finite for repeated
    eigenvalues, too.

    Args:
      matrix: symmetric, of shape `(k, k)`.
      root: whether to take the inverse of the square root.

    Returns:
      A matrix of the same shape, zero on the null space.
    """
    inverse, vectors, _ = _spectrum(matrix, root)
    return (vectors * inverse) @ vectors.T


@psd_inverse.defjvp
def _psd_inverse_jvp(root: bool, primals: tuple, tangents: tuple) -> tuple:
    (matrix,), (change,) = primals, tangents
    f, vectors, values = _spectrum(matrix, root)
    inside = f > 0
    both = inside[:, None] & inside
    # Differences of the function over differences of eigenvalues, without cancellation.
    within = -f[:, None] * f
    if root:
        within = within / (_reciprocal(f)[:, None] + _reciprocal(f) + ~both)
    across = jnp.where(inside, f / jnp.where(inside, values, 1), 0)
    quotients = jnp.where(both, within, across[:, None] + across)
    turned = vectors.T @ change @ vectors
    return (vectors * f) @ vectors.T, vectors @ (quotients * turned) @ vectors.T


@jax.custom_jvp
def raise_eigenvalues(matrix: jax.Array, least: jax.Array) -> jax.Array:
    """The nearest symmetric matrix whose eigenvalues are at least `least`.

    The derivative is finite for repeated eigenvalues, too; an eigenvalue at the bound counts as
    one above it.

    Args:
      matrix: symmetric, of shape `(k, k)`.
      least: the bound, a scalar.

    Returns:
      A matrix of the same shape.
    """
    values, vectors = jnp.linalg.eigh(matrix)
    return (vectors * jnp.maximum(values, least)) @ vectors.T


@raise_eigenvalues.defjvp
def _raise_eigenvalues_jvp(primals: tuple, tangents: tuple) -> tuple:
    (matrix, least), (change, by) = primals, tangents
    values, vectors = jnp.linalg.eigh(matrix)
    raised, above = jnp.maximum(values, least), values >= least
    mixed = above[:, None] != above
    # Differences of the function over differences of eigenvalues: one or zero, unless just one
    # of the two is raised.
    distance = jnp.where(mixed, values[:, None] - values, 1)
    quotients = jnp.where(mixed, (raised[:, None] - raised) / distance, above * 1.0)
    turned = quotients * (vectors.T @ change @ vectors) + jnp.diag(jnp.where(above, 0, by))
    return (vectors * raised) @ vectors.T, vectors @ turned @ vectors.T


def psd_eigenvalues(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The eigenvalues in ascending order, and which of them are not zero.

    Their derivatives are those along the eigenvectors that were found.
    """
    values, vectors = jnp.linalg.eigh(jax.lax.stop_gradient(matrix))
    along = jnp.einsum("ik,ij,jk->k", vectors, matrix, vectors)
    return along, _in_range(values)


def _spectrum(matrix: jax.Array, root: bool) -> tuple[jax.Array, jax.Array, jax.Array]:
    values, vectors = jnp.linalg.eigh(matrix)
    inside = _in_range(values)
    safe = jnp.where(inside, values, 1)
    inverse = jax.lax.rsqrt(safe) if root else 1 / safe
    return jnp.where(inside, inverse, 0), vectors, values


def _in_range(values: jax.Array) -> jax.Array:
    eps = jnp.finfo(values.dtype).eps
    return values > jnp.max(values, initial=0) * values.size * eps


def _reciprocal(x: jax.Array) -> jax.Array:
    return jnp.where(x > 0, 1 / jnp.where(x > 0, x, 1), 0)
