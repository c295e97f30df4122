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
