"""Symmetric linear systems that are known by their products with vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gradlab.core import divide, norm


class Krylov(NamedTuple):
    """What an iteration has found.

    Attributes:
      x: the solution, of shape `(n,)`.
      iterations: how many products with the operator it took.
      curvature: the smallest vᵀAv / vᵀv among the directions that the iteration has seen. It
        is negative if, and only if, the operator is not positive semi-definite on their span.
      scale: the largest ‖Av‖ / ‖v‖ among them.
    """

    x: jax.Array
    iterations: jax.Array
    curvature: jax.Array
    scale: jax.Array


def conjugate_gradient(
    product: Callable[[jax.Array], jax.Array], rhs: jax.Array, tolerance: Any, max_steps: int
) -> Krylov:
    """Solves a positive definite system by conjugate gradients, and watches the curvature.

    It stops, with what it has, before the first direction along which the operator is not
    positive: beyond that, its steps would mean nothing.

    Args:
      product: multiplies the operator with a vector of shape `(n,)`.
      rhs: the right-hand side, of shape `(n,)`.
      tolerance: where to stop: the residual's norm over that of the right-hand side.
      max_steps: how many products it may take.

    Returns:
      See `Krylov`.
    """

    def going(carry: tuple) -> jax.Array:
        found, r, _ = carry
        far = norm(r) > tolerance * norm(rhs)
        return far & (found.iterations < max_steps) & (found.curvature > 0)

    def step(carry: tuple) -> tuple:
        found, r, p = carry
        image = product(p)
        along, square = jnp.vdot(p, image), jnp.vdot(r, r)
        curvature = jnp.minimum(found.curvature, divide(along, jnp.vdot(p, p)))
        scale = jnp.maximum(found.scale, divide(norm(image), norm(p)))
        length = jnp.where(along > 0, divide(square, along), 0)
        rest = r - length * image
        x = found.x + length * p
        p = rest + divide(jnp.vdot(rest, rest), square) * p
        return Krylov(x, found.iterations + 1, curvature, scale), rest, p

    return lax.while_loop(going, step, (_start(rhs), rhs, rhs))[0]


def minres(
    product: Callable[[jax.Array], jax.Array], rhs: jax.Array, tolerance: Any, max_steps: int
) -> Krylov:
    """Solves a symmetric system, which may be indefinite, by minimal residuals.

    Args:
      product: multiplies the operator with a vector of shape `(n,)`.
      rhs: the right-hand side, of shape `(n,)`.
      tolerance: where to stop: the residual's norm over that of the right-hand side.
      max_steps: how many products it may take.

    Returns:
      See `Krylov`; the directions whose curvature is looked at are the residuals.

    References:
      Paige and Saunders, "Solution of Sparse Indefinite Systems of Linear Equations", SIAM
      Journal on Numerical Analysis 12, 1975. Liu and Roosta, "MINRES: From Negative Curvature
      Detection to Monotonicity Properties", arXiv:2105.00168, for the curvature.
    """
    zero, none = jnp.zeros_like(rhs), jnp.zeros([], rhs.dtype)
    size, rounding = norm(rhs), jnp.finfo(rhs.dtype).eps

    def going(carry: tuple) -> jax.Array:
        found, residual, (_, _, beta), *_ = carry
        # Once the space is mapped into itself, nothing is left to look at.
        open_ended = (found.iterations == 0) | (beta > rounding * found.scale)
        return (residual > tolerance * size) & open_ended & (found.iterations < max_steps)

    def step(carry: tuple) -> tuple:
        found, residual, (v, v_old, beta), (c, s), (d, d_old), (delta, epsilon) = carry
        image = product(v)
        alpha = jnp.vdot(v, image)
        w = image - alpha * v - beta * v_old
        beta_new = norm(w)
        # The latest column of the tridiagonal matrix, turned as the columns before it were.
        delta_now, gamma = c * delta + s * alpha, s * delta - c * alpha
        curvature = jnp.minimum(found.curvature, -c * gamma)
        scale = jnp.maximum(found.scale, norm(image))
        following = -c * beta_new, s * beta_new
        length = jnp.hypot(gamma, beta_new)
        c, s = divide(gamma, length), divide(beta_new, length)
        direction = divide(v - delta_now * d - epsilon * d_old, length)
        x = found.x + c * residual * direction
        residual = jnp.where(length > 0, s, 1) * residual
        found = Krylov(x, found.iterations + 1, curvature, scale)
        return (
            found,
            residual,
            (divide(w, beta_new), v, beta_new),
            (c, s),
            (direction, d),
            following,
        )

    lanczos, turn = (divide(rhs, size), zero, none), (none - 1, none)
    start = _start(rhs), size, lanczos, turn, (zero, zero), (none, none)
    return lax.while_loop(going, step, start)[0]


def _start(rhs: jax.Array) -> Krylov:
    infinite = jnp.full([], jnp.inf, rhs.dtype)
    return Krylov(jnp.zeros_like(rhs), jnp.zeros([], jnp.int32), infinite, jnp.zeros_like(infinite))
