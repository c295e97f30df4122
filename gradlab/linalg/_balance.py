"""Weights that balance their own products."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.linalg import cho_solve

from gradlab.linalg._implicit import implicit_root

STEPS = 100


class _Point(NamedTuple):
    step: jax.Array
    x: jax.Array
    s: jax.Array
    error: jax.Array


def balance(matrix: jax.Array, target: jax.Array, power: Any, start: jax.Array) -> jax.Array:
    r"""The positive vector that solves $Q x = c\, x^{-p}$.

    It minimises a strictly convex function wherever no non-negative vector lies in the null
    space of Q. Elsewhere there is no solution, and `balance_residual` says so.

    Args:
      matrix: Q, symmetric and positive semi-definite, of shape `(k, k)`, with a diagonal
        near one.
      target: c, positive, of shape `(k,)`.
      power: p, positive.
      start: a positive vector near the solution, of shape `(k,)`.

    Returns:
      x, with the derivative of the implicit function theorem.
    """
    fixed = lax.stop_gradient((matrix, target, jnp.asarray(power, matrix.dtype)))
    x = _solve(*fixed, lax.stop_gradient(start))
    q, c, p = fixed
    jacobian = q + jnp.diag(p * c * x ** (-p - 1))
    # Both sides of the system by the same factor, so that its derivative is near one.
    scale = lax.rsqrt(jnp.diagonal(jacobian))

    def residual(y: jax.Array, matrix: jax.Array, target: jax.Array, power: Any) -> jax.Array:
        z = scale * y
        return scale * (matrix @ z - target * z**-power)

    scaled = jacobian * scale * scale[:, None]
    return scale * implicit_root(residual, x / scale, scaled, matrix, target, power)


def balance_residual(matrix: jax.Array, target: jax.Array, power: Any, x: jax.Array) -> jax.Array:
    """How far x is from a solution: the largest relative error of a product."""
    return jnp.max(jnp.abs((matrix @ x) * x**power / target - 1), initial=0)


def _solve(q: jax.Array, c: jax.Array, p: jax.Array, start: jax.Array) -> jax.Array:
    """Newton's method on both Q x = s and s x**p = c, the second one in logarithms."""
    eps = jnp.finfo(q.dtype).eps

    def far(point: _Point) -> jax.Array:
        return (point.error > 4 * eps) & (point.step < STEPS)

    def advance(point: _Point) -> _Point:
        x, s = point.x, point.s
        gap = jnp.log(c / s) - p * jnp.log(x)
        factor = jnp.linalg.cholesky(q + jnp.diag(p * s / x))
        dx = cho_solve((factor, True), s * (1 + gap) - q @ x)
        ds = s * (gap - p * dx / x)
        length = jnp.minimum(1, 0.9 * jnp.minimum(_room(x, dx), _room(s, ds)))
        new_x, new_s = x + length * dx, s + length * ds
        error = jnp.max(jnp.abs(new_x - x) / x, initial=0)
        fine = jnp.all(jnp.isfinite(new_x) & (new_x > 0) & (new_s > 0))
        stop = _Point(jnp.full_like(point.step, STEPS), x, s, point.error)
        new = _Point(point.step + 1, new_x, new_s, error)
        return jax.tree.map(lambda a, b: jnp.where(fine, a, b), new, stop)

    first = _Point(jnp.zeros([], jnp.int32), start, c * start**-p, jnp.full([], jnp.inf, q.dtype))
    return lax.while_loop(far, advance, first).x if c.size else start


def _room(x: jax.Array, dx: jax.Array) -> jax.Array:
    """How far one may go along dx until an entry of x is zero."""
    limit = jnp.where(dx < 0, x / jnp.where(dx < 0, -dx, 1), jnp.inf)
    return jnp.min(limit, initial=jnp.inf)
