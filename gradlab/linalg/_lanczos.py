"""Extreme eigenpairs of a symmetric operator that is known by its products with vectors."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from gradlab.core import divide, norm


def extreme_eigenpairs(
    product: Callable[[jax.Array], jax.Array], starts: jax.Array, largest: int, smallest: int = 0
) -> tuple[jax.Array, jax.Array]:
    """The largest and the smallest eigenvalues of a symmetric operator, and their vectors.

    The derivative is exact for what depends on the span of the vectors alone, or on a
    function of the operator in it.

    Args:
      product: multiplies the operator with a vector of shape `(n,)`.
      starts: random vectors, of shape `(order, n)`, at most n of them, which is one less than
        there are products. More of them give better eigenpairs; n of them give all.
      largest: how many at the upper end, at most `order`.
      smallest: how many at the lower end; together with `largest` at most `order`.

    Returns:
      The eigenvalues in ascending order, the smallest before the largest, and a matrix with
      their vectors, of length one, as rows.
    """
    basis, matrix = lanczos(product, starts)
    values, vectors = eigh(matrix)
    order = len(values)
    chosen = jnp.array([*range(smallest), *range(order - largest, order)], int)
    # Of a vector and its negative, one that does not depend on rounding.
    vectors = vectors * jnp.where(vectors[0] < 0, -1, 1)
    return values[chosen], _times(vectors.T[chosen], basis)


def lanczos(
    product: Callable[[jax.Array], jax.Array], starts: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """An orthonormal basis in which a symmetric operator is tridiagonal.

    The basis begins with the product of the first random vector, not with the vector itself:
    what the operator takes to zero is not in the space, not even as rounding. Every new vector
    is made orthogonal to all before it, twice. Where the space so far is mapped into itself,
    the next vector is a random one across it, so that eigenvalues are found as often as they
    occur.

    Args:
      product: multiplies the operator with a vector of shape `(n,)`. It runs `order` + 1 times.
      starts: random vectors, of shape `(order, n)`, with `order` at most n: the first begins,
        the others are for going on.

    Returns:
      The basis as rows, of shape `(order, n)`, and the matrix, of shape `(order, order)`.
    """
    order, rounding = len(starts), 32 * jnp.finfo(starts.dtype).eps

    def across(basis: jax.Array, v: jax.Array) -> jax.Array:
        for _ in range(2):
            v = v - _times(_times(basis, v), basis)
        return v

    def step(i: jax.Array, carry: tuple) -> tuple:
        basis, matrix, scale = carry
        v = jnp.where(i == 0, starts[0], basis[i - 1])
        w = product(v)
        scale = jnp.maximum(scale, lax.stop_gradient(norm(w)))
        rest, fresh = across(basis, w), across(basis, _unit(starts[(i + 1) % order]))
        size = norm(rest)
        ended = size <= rounding * scale
        # The last vector and coupling have no place any more: they are dropped.
        basis = basis.at[i].set(jnp.where(ended, _unit(fresh), _unit(rest)), mode="drop")
        coupling = jnp.where(ended, 0, size)
        matrix = matrix.at[i, i].set(_times(v, w))
        matrix = matrix.at[i, i + 1].set(coupling, mode="drop")
        matrix = matrix.at[i + 1, i].set(coupling, mode="drop")
        return basis, matrix, scale

    empty = jnp.zeros((order + 1, order + 1), starts.dtype)
    carry = jnp.zeros_like(starts), empty, empty[0, 0]
    basis, matrix, _ = lax.fori_loop(0, order + 1, step, carry)
    return basis, matrix[1:, 1:]


def _unit(v: jax.Array) -> jax.Array:
    return divide(v, norm(v))


def _times(x: jax.Array, y: jax.Array) -> jax.Array:
    # Accelerators round the factors to fewer bits unless told otherwise, and vectors that are
    # orthogonal to three digits are not orthogonal enough.
    return jnp.matmul(x, y, precision=lax.Precision.HIGHEST)


@jax.custom_jvp
def eigh(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Eigenvalues, ascending, and eigenvectors, as columns, of a symmetric matrix.

    Where two eigenvalues are equal, the derivative of their vectors is that which does not
    turn the one into the other; JAX's own is not finite there.
    """
    values, vectors = jnp.linalg.eigh(matrix)
    return values, vectors


@eigh.defjvp
def _eigh_jvp(primals: tuple, tangents: tuple) -> tuple:
    values, vectors = eigh(*primals)
    inside = vectors.T @ tangents[0] @ vectors
    turns = inside * divide(1.0, values[None, :] - values[:, None])
    return (values, vectors), (jnp.diagonal(inside), vectors @ turns)
