"""Norms of the units of a layer."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gradlab.core import norm


def unit_norm(x: jax.Array, axis: int | tuple[int, ...] | None = None) -> jax.Array:
    """The norm of all that feeds one output unit, with derivative zero at zero.

    Weights are stored as (..., inputs, outputs): a vector (and a matrix with one row or
    column) is one unit, a matrix has one for each column, a stack of matrices one for each
    pair of its last two axes, a convolution one for each output channel.

    Args:
      x: weights, or gradients of weights, of at most 5 dimensions.
      axis: the axes to sum over, instead of the above.

    Returns:
      The norms, of the shape of `x` with ones in the place of the axes summed over.

    Raises:
      ValueError: more than 5 dimensions and no `axis`.
    """
    if axis is None:
        if x.ndim > 5 and jnp.squeeze(x).ndim > 1:
            raise ValueError(
                f"an array of shape {x.shape} has no known units: say with axis what to sum over"
            )
        if jnp.squeeze(x).ndim <= 1:
            axis = tuple(range(x.ndim))
        else:
            axis = 0 if x.ndim < 4 else tuple(range(x.ndim - 1))
    return norm(x, axis=axis, keepdims=True)
