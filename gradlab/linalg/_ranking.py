"""Which numbers of an array are its largest, and where they begin."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def largest(scores: jax.Array, count: Any) -> jax.Array:
    """Where the `count` largest scores are; of equal ones, those that come first.

    Exactly so many are chosen, however many are equal. What is not a number counts as the
    largest, so that it does not disappear. The choice has no derivative.

    Args:
      scores: real numbers, of any shape.
      count: how many, an integer that may be traced; more than there are chooses all.

    Returns:
      A mask of the shape of `scores`.
    """
    flat = lax.stop_gradient(scores).ravel()
    order = jnp.argsort(jnp.where(jnp.isnan(flat), jnp.inf, flat), descending=True, stable=True)
    ranks = jnp.zeros(flat.shape, jnp.int32).at[order].set(jnp.arange(flat.size, dtype=jnp.int32))
    return (ranks < count).reshape(scores.shape)


def portion(fraction: Any, size: int) -> jax.Array:
    """The whole number nearest to a fraction of `size`."""
    return jnp.floor(fraction * size + 0.5).astype(jnp.int32)


def upper_quantile(x: jax.Array, fraction: Any) -> jax.Array:
    """The number above which a fraction of the entries lies, between entries interpolated.

    It is a continuous function of the fraction and of the entries: the largest entry for 0,
    the smallest for 1.

    Args:
      x: real numbers, at least one.
      fraction: in [0, 1].

    Returns:
      A scalar.
    """
    flat = x.ravel()
    # Places are sorted, not numbers: the derivative of a place is that of what lies there.
    order = jnp.argsort(lax.stop_gradient(flat), descending=True)
    place = fraction * jnp.asarray(x.size - 1, x.dtype)
    above = jnp.clip(jnp.floor(lax.stop_gradient(place)), 0, max(x.size - 2, 0)).astype(jnp.int32)
    first, second = flat[order[above]], flat[order[jnp.minimum(above + 1, x.size - 1)]]
    return first + (place - above) * (second - first)
