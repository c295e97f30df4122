"""Small convex quadratic programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.linalg import cho_solve


def nonnegative_qp(matrix: jax.Array, linear: jax.Array) -> jax.Array:
    r"""Minimises a quadratic over non-negative vectors.

    $$\min_{y \ge 0}\ \tfrac12\, y^\top Q\, y + b^\top y$$

    An interior-point method finds which entries are zero; the others then solve a linear
    system. The derivative is that of the system, so that it is exact wherever the set of
    zeros does not change, and finite everywhere: along directions in which Q is singular
    nothing moves.

    Args:
      matrix: Q, symmetric and positive semi-definite, of shape `(k, k)`, with a diagonal
        near one.
      linear: b, of shape `(..., k)`, one program for each vector; in the range of Q, or
        else a minimum need not exist.

    Returns:
      The minimisers y, of shape `(..., k)`; one of them where there are several.
    """
    if linear.ndim > 1:
        flat = linear.reshape(-1, linear.shape[-1])
        return jax.vmap(nonnegative_qp, (None, 0))(matrix, flat).reshape(linear.shape)
    q, b = lax.stop_gradient((matrix, linear))
    inside = nonnegative_minimum(lambda y: (q @ y + b, q), b.size, b.dtype)
    free = _free_entries(q, b, inside)
    exact = jnp.maximum(_solve_free(matrix, linear, free), 0)
    # A degenerate program may leave doubt about entries that hardly matter.
    better = qp_residual(q, b, exact) <= qp_residual(q, b, inside)
    return jnp.where(better, exact, inside + (exact - lax.stop_gradient(exact)))


def qp_residual(matrix: jax.Array, linear: jax.Array, y: jax.Array) -> jax.Array:
    """How far y is from a minimiser: the largest entry of |min(y, Q y + b)|."""
    return jnp.max(jnp.abs(jnp.minimum(y, y @ matrix + linear)), axis=-1, initial=0)


class _Guess(NamedTuple):
    rounds: jax.Array
    free: jax.Array
    best: jax.Array
    residual: jax.Array


def _free_entries(matrix: jax.Array, linear: jax.Array, y: jax.Array) -> jax.Array:
    """Which entries of a minimiser are not zero, from a point near it."""
    tolerance = 10 * linear.size * jnp.finfo(linear.dtype).eps

    def unsettled(guess: _Guess) -> jax.Array:
        return (guess.residual > tolerance) & (guess.rounds < 8)

    def revise(guess: _Guess) -> _Guess:
        x = _solve_free(matrix, linear, guess.free)
        residual = qp_residual(matrix, linear, jnp.maximum(x, 0))
        best = jnp.where(residual < guess.residual, guess.free, guess.best)
        residual = jnp.minimum(residual, guess.residual)
        return _Guess(guess.rounds + 1, x > matrix @ x + linear, best, residual)

    first = y > matrix @ y + linear
    start = _Guess(jnp.zeros([], jnp.int32), first, first, jnp.full([], jnp.inf, y.dtype))
    return lax.while_loop(unsettled, revise, start).best


def _solve_free(matrix: jax.Array, linear: jax.Array, free: jax.Array) -> jax.Array:
    """The minimiser of which only some entries may differ from zero, and may be negative."""

    def masked(q: jax.Array) -> jax.Array:
        return jnp.where(free[:, None] & free, q, jnp.eye(free.size, dtype=q.dtype))

    fixed = masked(lax.stop_gradient(matrix))
    values, vectors = jnp.linalg.eigh(fixed)
    singular = values <= 10 * free.size * jnp.finfo(values.dtype).eps
    inverse = jnp.where(singular, 0, 1 / jnp.where(singular, 1, values))

    def solve(_: Any, rhs: jax.Array) -> jax.Array:
        x = vectors @ (inverse * (rhs @ vectors))
        # Once more with what is left, since the eigenvectors are only so good.
        return x + vectors @ (inverse * ((rhs - fixed @ x) @ vectors))

    matvec = masked(matrix)
    rhs = jnp.where(free, -linear, 0)
    return lax.custom_linear_solve(lambda x: matvec @ x, rhs, solve, symmetric=True)


class _Point(NamedTuple):
    step: jax.Array
    y: jax.Array
    slack: jax.Array
    gap: jax.Array


def nonnegative_minimum(
    derivatives: Callable[[jax.Array], tuple[jax.Array, jax.Array]], size: int, dtype: Any
) -> jax.Array:
    """Minimises a convex function over non-negative vectors.

    Mehrotra's predictor-corrector method, to the precision of the dtype.

    Args:
      derivatives: gradient and Hessian at a point; the latter with a diagonal near one.
      size: length of the vectors.
      dtype: their dtype.

    Returns:
      A point near a minimiser, all entries positive.
    """
    eps = jnp.finfo(dtype).eps
    # Two opposite gradients leave no interior; a little of the identity gives one.
    ridge = 4 * eps * jnp.eye(size, dtype=dtype)
    ones = jnp.ones(size, dtype)
    tolerance = eps**1.6  # the product of two numbers that are both to be told from zero

    def far(point: _Point) -> jax.Array:
        return (point.gap > tolerance) & (point.step < 40)

    def advance(point: _Point) -> _Point:
        y, slack = point.y, point.slack
        gradient, hessian = derivatives(y)
        wrong = gradient + 4 * eps * y - slack
        mu = y @ slack / size
        factor = jnp.linalg.cholesky(hessian + ridge + jnp.diag(slack / y))

        def direction(target: jax.Array) -> tuple[jax.Array, jax.Array]:
            dy = cho_solve((factor, True), target / y - slack - wrong)
            return dy, (target - slack * dy) / y - slack

        dy, ds = direction(jnp.zeros_like(y))
        length = jnp.minimum(_longest(y, dy), _longest(slack, ds))
        ahead = (y + length * dy) @ (slack + length * ds) / size
        dy, ds = direction((ahead / mu) ** 3 * mu - dy * ds)
        length = 0.995 * jnp.minimum(_longest(y, dy), _longest(slack, ds))
        y_new, slack_new = y + length * dy, slack + length * ds
        gap = y_new @ slack_new / size
        fine = jnp.all(jnp.isfinite(y_new) & jnp.isfinite(slack_new))
        stop = _Point(point.step, y, slack, jnp.zeros_like(gap))
        return jax.tree.map(
            lambda new, old: jnp.where(fine, new, old),
            _Point(point.step + 1, y_new, slack_new, gap),
            stop,
        )

    start = _Point(jnp.zeros([], jnp.int32), ones, ones, jnp.asarray(1, dtype))
    return lax.while_loop(far, advance, start).y if size else ones


def _longest(x: jax.Array, dx: jax.Array) -> jax.Array:
    """The longest step up to one that leaves x positive."""
    limit = jnp.where(dx < 0, x / jnp.where(dx < 0, -dx, 1), 1)
    return jnp.minimum(1, jnp.min(limit))


def qp_tolerance(dtype: Any) -> float:
    """The residual up to which a program on unit gradients counts as solved."""
    return 1e-9 if jnp.finfo(dtype).bits > 32 else 1e-4
