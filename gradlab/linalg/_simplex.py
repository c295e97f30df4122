"""The simplex of weights."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def onto_simplex(x: jax.Array) -> jax.Array:
    """The nearest vector with non-negative entries of sum one.

    Args:
      x: of shape `(k,)`.

    Returns:
      The projection; its derivative is that for the same entries being zero.
    """
    fixed = jax.lax.stop_gradient(x)
    ordered = jnp.sort(fixed, descending=True)
    sums = jnp.cumsum(ordered)
    ranks = jnp.arange(1, x.size + 1)
    inside = jnp.sum(ordered * ranks > sums - 1)
    shift = (sums[jnp.maximum(inside - 1, 0)] - 1) / jnp.maximum(inside, 1)
    free = fixed > shift
    mean = (jnp.sum(jnp.where(free, x, 0)) - 1) / jnp.maximum(jnp.sum(free), 1)
    return jnp.where(free, x - mean, 0)
