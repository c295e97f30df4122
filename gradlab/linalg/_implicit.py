"""Derivatives of what an iteration has found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def implicit_root(
    residual: Callable[..., jax.Array], root: jax.Array, jacobian: jax.Array, *args: Any
) -> jax.Array:
    """A root of a system, with the derivative of the implicit function theorem.

    Args:
      residual: `residual(root, *args)` is zero.
      root: what was found, of shape `(k,)`; how it was found has no part in the derivative.
      jacobian: the derivative of the residual by the root, symmetric, of shape `(k, k)`.
        Along directions in which it is singular nothing moves.
      *args: what the root depends on.

    Returns:
      The root, unchanged.
    """
    root = lax.stop_gradient(root)
    values, vectors = jnp.linalg.eigh(lax.stop_gradient(jacobian))
    size = jnp.max(jnp.abs(values), initial=0)
    singular = jnp.abs(values) <= 10 * values.size * jnp.finfo(values.dtype).eps * size
    inverse = jnp.where(singular, 0, 1 / jnp.where(singular, 1, values))
    step = vectors @ (inverse * (residual(root, *args) @ vectors))
    return root - (step - lax.stop_gradient(step))
