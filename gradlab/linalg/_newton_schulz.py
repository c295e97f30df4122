"""The Newton–Schulz iteration towards the orthogonal factor of a matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradlab import core

PRECONDITIONINGS = ("frobenius", "spectral", "aol", "schatten")

LARGE = 2**16
"""From so many elements on, a matrix keeps the cores of a CPU busy by itself."""


def newton_schulz(
    x: jax.Array,
    coeffs: Sequence[Any],
    *,
    steps: int = 5,
    eps: Any = 1e-8,
    preconditioning: str = "frobenius",
) -> jax.Array:
    r"""Pushes the singular values of each matrix towards one.

    $$X \leftarrow a X + (b\, X X^* + c\, (X X^*)^2) X$$

    Args:
      x: matrices, of shape `(..., m, n)`.
      coeffs: the numbers `(a, b, c)`, or one such triple for each step.
      steps: how often the iteration is applied; a sequence of triples sets it itself.
      eps: keeps the first scaling finite [norm units].
      preconditioning: how the singular values are first brought into `[0, 1]`: divided by
        the `"frobenius"` norm or the `"spectral"` norm, or the rows scaled by the sums of
        |X X*| (`"aol"`), by the root of the norm of X X* (`"schatten"`).

    Returns:
      Matrices of the same shape. A zero matrix gives zero, with a finite derivative.
    """
    if x.size == 0:
        return x
    if x.shape[-2] > x.shape[-1]:
        wide = jnp.swapaxes(x, -1, -2)
        triples = {"steps": steps, "eps": eps, "preconditioning": preconditioning}
        return jnp.swapaxes(newton_schulz(wide, coeffs, **triples), -1, -2)
    dtype = jnp.finfo(x.dtype).dtype
    rows = list(coeffs) if is_row(coeffs[0]) else [coeffs] * steps
    triples = [[jnp.asarray(c, dtype) for c in row] for row in rows]
    eps = jnp.asarray(eps, dtype)

    def orthogonal(x: jax.Array) -> jax.Array:
        return _iterate(x, triples, eps, preconditioning)

    large = x.ndim == 3 and x.shape[0] > 1 and x.shape[1] * x.shape[2] >= LARGE
    if not large or not core.is_staged(x):
        return orthogonal(x)
    # One matrix after the other stays in the cache of a CPU from step to step.
    return lax.platform_dependent(x, cpu=lambda x: lax.map(orthogonal, x), default=orthogonal)


def _iterate(x: jax.Array, triples: list, eps: jax.Array, preconditioning: str) -> jax.Array:
    if preconditioning == "frobenius":
        x = core.divide(x, core.norm(x, axis=(-2, -1), keepdims=True) + eps)
    elif preconditioning == "spectral":
        largest = jnp.linalg.norm(x, ord=2, axis=(-2, -1), keepdims=True)
        x = core.divide(x, largest + eps)
    for index, triple in enumerate(triples):
        gram = x @ _adjoint(x)
        if index == 0 and preconditioning in ("aol", "schatten"):
            scale = _row_scale(gram, eps, preconditioning)
            x, gram = x * scale, gram * scale * jnp.swapaxes(scale, -1, -2)
        x = _step(x, gram, triple)
    return x


def is_row(coeffs: Any) -> bool:
    """Whether this is a triple of coefficients, and not a single number."""
    return isinstance(coeffs, tuple | list) or getattr(coeffs, "ndim", 0) > 0


def _adjoint(x: jax.Array) -> jax.Array:
    return jnp.swapaxes(x, -1, -2).conj()


def _step(x: jax.Array, gram: jax.Array, coeffs: Sequence[Any]) -> jax.Array:
    a, b, c = coeffs
    return a * x + (b * gram + (c * gram) @ gram) @ x


def _row_scale(gram: jax.Array, eps: jax.Array, preconditioning: str) -> jax.Array:
    """One over a bound on the norm of the rows, of shape (..., m, 1) or (..., 1, 1)."""
    if preconditioning == "aol":
        sizes = jnp.sum(core.sqrt(core.abs_sq(gram)), axis=-1, keepdims=True)
    else:
        sizes = core.norm(gram, axis=(-2, -1), keepdims=True)
    return core.reciprocal_sqrt(jnp.maximum(sizes, eps))
