"""Matrices with their singular values or eigenvalues cut, and the level at which vectors are."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradlab import core


def singular_value_threshold(x: jax.Array, threshold: Any) -> jax.Array:
    """Matrices with every singular value lowered by a threshold, to zero at most.

    Args:
      x: matrices, of shape `(..., m, n)`, real or complex.
      threshold: not negative, of a shape that broadcasts to `(...)`.

    Returns:
      Matrices of the same shape. Their derivative is exact where singular values are equal or
      zero, too; at the threshold it is that from above.
    """
    threshold = jnp.asarray(threshold, x.real.dtype)
    return _lowered(x, jnp.broadcast_to(threshold, x.shape[:-2]))


@jax.custom_jvp
def _lowered(x: jax.Array, threshold: jax.Array) -> jax.Array:
    u, s, v = jnp.linalg.svd(x, full_matrices=False)
    return (u * core.soft_threshold(s, threshold[..., None])[..., None, :]) @ v


@_lowered.defjvp
def _lowered_jvp(primals: tuple, tangents: tuple) -> tuple:
    (x, threshold), (dx, dt) = primals, tangents
    u, s, v = jnp.linalg.svd(x, full_matrices=False)
    t = threshold[..., None]
    new = core.soft_threshold(s, t)
    inner = _adjoint(u) @ dx @ _adjoint(v)
    even, odd = (inner + _adjoint(inner)) / 2, (inner - _adjoint(inner)) / 2
    moved = (
        _divided_differences(s, t) * even
        + _ratio(_pairs(jnp.add, new), _pairs(jnp.add, s), t[..., None]) * odd
    )
    kept = _ratio(new, s, t)
    # What dx has outside of the rows and columns that x spans turns these.
    right = dx @ _adjoint(v) - u @ inner
    below = _adjoint(u) @ dx - inner @ v
    along = (u * jnp.where((s >= t) & (s > 0), dt[..., None], 0)[..., None, :]) @ v
    change = u @ moved @ v + (right * kept[..., None, :]) @ v + u @ (kept[..., :, None] * below)
    return (u * new[..., None, :]) @ v, change - along


def _pairs(function: Any, s: jax.Array) -> jax.Array:
    return function(s[..., :, None], s[..., None, :])


def _divided_differences(s: jax.Array, t: jax.Array) -> jax.Array:
    """(f(a) − f(b)) / (a − b) of f(s) = max(s − t, 0), its slope from above where a is b."""
    high, low = _pairs(jnp.maximum, s), _pairs(jnp.minimum, s)
    t = t[..., None]
    across = core.divide(high - t, high - low)
    return jnp.where(low >= t, 1, jnp.where(high < t, 0, across))


def _ratio(new: jax.Array, old: jax.Array, t: jax.Array) -> jax.Array:
    """new / old, where both are zero the slope of max(s − t, 0) at zero."""
    return jnp.where(old == 0, (t <= 0).astype(old.dtype), core.divide(new, old))


def positive_semidefinite_part(x: jax.Array) -> jax.Array:
    """The nearest Hermitian matrices without negative eigenvalues.

    Args:
      x: square matrices, of shape `(..., n, n)`, real or complex.

    Returns:
      Matrices of the same shape. Their derivative is exact where eigenvalues are equal, too; where
      one is zero it is that from above.
    """
    return _semidefinite((x + _adjoint(x)) / 2)


@jax.custom_jvp
def _semidefinite(x: jax.Array) -> jax.Array:
    values, vectors = jnp.linalg.eigh(x)
    return (vectors * jnp.maximum(values, 0)[..., None, :]) @ _adjoint(vectors)


@_semidefinite.defjvp
def _semidefinite_jvp(primals: tuple, tangents: tuple) -> tuple:
    (x,), (dx,) = primals, tangents
    values, vectors = jnp.linalg.eigh(x)
    inner = _adjoint(vectors) @ dx @ vectors
    moved = _divided_differences(values, jnp.zeros_like(values[..., :1])) * inner
    part = (vectors * jnp.maximum(values, 0)[..., None, :]) @ _adjoint(vectors)
    return part, vectors @ moved @ _adjoint(vectors)


def _adjoint(x: jax.Array) -> jax.Array:
    return jnp.conj(jnp.swapaxes(x, -1, -2))


def cut_level(sizes: jax.Array, total: Any) -> jax.Array:
    """The level above which numbers sum to a given total.

    Args:
      sizes: numbers that are not negative, of shape `(k,)`.
      total: the sum of what exceeds the level, not negative.

    Returns:
      The level, not negative: zero if all of them sum to less. Its derivative is that for the
      same numbers exceeding it.
    """
    fixed, wanted = lax.stop_gradient(sizes), lax.stop_gradient(total)
    ordered = jnp.sort(fixed, descending=True)
    excess = jnp.cumsum(ordered) - jnp.arange(1, sizes.size + 1) * ordered
    above = jnp.arange(sizes.size) < jnp.maximum(jnp.sum(excess < wanted), 1)
    lowest = jnp.min(jnp.where(above, ordered, jnp.inf))
    counted = (fixed >= lowest).astype(sizes.dtype)
    level = (jnp.sum(sizes * counted) - total) / jnp.sum(counted)
    return jnp.where(lax.stop_gradient(level) > 0, level, 0)
