"""Small convex quadratic programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.linalg import cho_solve

ROUNDS = 12


def nonnegative_qp(matrix: jax.Array, linear: jax.Array) -> jax.Array:
    r"""Minimises a quadratic over non-negative vectors.

    $$\min_{y \ge 0}\ \tfrac12\, y^\top Q\, y + b^\top y$$

    Principal pivoting in blocks guesses which entries are zero, solves for the others, and
    changes its mind about all entries of the wrong sign at once; programs on which it does not
    end in a few rounds start anew from where an interior-point method leads. The derivative is
    that of the system that the entries solve, so that it is exact wherever the set of zeros
    does not change, and finite everywhere: along directions in which Q is singular nothing
    moves.

    Args:
      matrix: Q, symmetric and positive semi-definite, of shape `(k, k)`, with a diagonal
        near one.
      linear: b, of shape `(..., k)`, one program for each vector; in the range of Q, or
        else a minimum need not exist.

    Returns:
      The minimisers y, of shape `(..., k)`; one of them where there are several.
    """
    if not linear.size:
        return linear
    return _minimisers(matrix, linear.reshape(-1, linear.shape[-1])).reshape(linear.shape)


def qp_residual(matrix: jax.Array, linear: jax.Array, y: jax.Array) -> jax.Array:
    """How far y is from a minimiser: the largest entry of |min(y, Q y + b)|."""
    return jnp.max(jnp.abs(jnp.minimum(y, y @ matrix + linear)), axis=-1, initial=0)


@jax.custom_jvp
def _minimisers(q: jax.Array, b: jax.Array) -> jax.Array:
    """One minimiser for each row of b."""
    none = jnp.full(len(b), jnp.inf, b.dtype)
    near = _pivot(q, b, _Guess.new(b < 0, jnp.zeros_like(b), none))
    left = ~near.solved
    inside = jax.vmap(
        lambda b, left: nonnegative_minimum(lambda y: (q @ y + b, q), b.size, b.dtype, left)
    )(b, left)
    residual = jnp.where(left, qp_residual(q, b, inside), jnp.inf)
    closer = (residual < near.residual)[:, None]
    best = jnp.where(closer, inside, near.best)
    anew = _Guess.new(inside > inside @ q + b, best, jnp.minimum(residual, near.residual), left)
    return _pivot(q, b, anew).best


@_minimisers.defjvp
def _minimisers_jvp(primals: tuple, tangents: tuple) -> tuple:
    (q, b), (dq, db) = primals, tangents
    y = _minimisers(q, b)
    free = lax.stop_gradient(y > y @ q + b)
    return y, jax.vmap(_solve_free, (None, 0, 0))(q, -(db + y @ dq.T), free)


class _Guess(NamedTuple):
    """Which entries may differ from zero, and the best solutions so far, one in each row."""

    rounds: jax.Array
    free: jax.Array
    best: jax.Array
    residual: jax.Array
    left: jax.Array
    solved: jax.Array

    @classmethod
    def new(
        cls, free: jax.Array, best: jax.Array, residual: jax.Array, left: jax.Array | bool = True
    ) -> _Guess:
        left = jnp.broadcast_to(left, residual.shape)
        return cls(jnp.zeros([], jnp.int32), free, best, residual, left, ~left)


def _pivot(q: jax.Array, b: jax.Array, start: _Guess) -> _Guess:
    """Frees entries that want to grow and fixes those that are negative, all at once."""
    size = b.shape[-1]
    eps = jnp.finfo(b.dtype).eps
    tolerance = 4 * size**0.5 * eps
    eye = jnp.eye(size, dtype=q.dtype)
    # Enough for a factor of a singular block; the solution is corrected for it.
    ridged = q + 2 * size * eps * eye

    def minimiser(free: jax.Array) -> jax.Array:
        block = jnp.where(free[:, :, None] & free[:, None, :], ridged, eye)
        factor = lax.linalg.cholesky(block, symmetrize_input=False)

        def divided(x: jax.Array, transposed: bool) -> jax.Array:
            return lax.linalg.triangular_solve(
                factor, x[..., None], left_side=True, lower=True, transpose_a=transposed
            )[..., 0]

        x = jnp.zeros_like(b)
        for _ in range(3):
            x = x + divided(divided(jnp.where(free, -b - x @ q, 0), False), True)
        return x

    def revise(guess: _Guess) -> _Guess:
        x = minimiser(guess.free)
        slack = x @ q + b
        y = jnp.maximum(x, 0)
        residual = qp_residual(q, b, y)
        small = tolerance * jnp.maximum(1, jnp.max(y, axis=-1))
        wrong = jnp.where(guess.free, x, slack) < -small[:, None]
        solved = residual <= small
        wrong = wrong & (guess.left & ~solved)[:, None]
        better = guess.left & (residual < guess.residual)
        return _Guess(
            guess.rounds + 1,
            guess.free ^ wrong,
            jnp.where(better[:, None], y, guess.best),
            jnp.where(better, residual, guess.residual),
            jnp.any(wrong, axis=-1),
            guess.solved | (guess.left & solved),
        )

    return lax.while_loop(lambda g: jnp.any(g.left) & (g.rounds < ROUNDS), revise, start)


def _solve_free(matrix: jax.Array, rhs: jax.Array, free: jax.Array) -> jax.Array:
    """Solves for the entries that are free, along directions in which the matrix is regular."""

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
    rhs = jnp.where(free, rhs, 0)
    return lax.custom_linear_solve(lambda x: matvec @ x, rhs, solve, symmetric=True)


class _Point(NamedTuple):
    step: jax.Array
    y: jax.Array
    slack: jax.Array
    gap: jax.Array


def nonnegative_minimum(
    derivatives: Callable[[jax.Array], tuple[jax.Array, jax.Array]],
    size: int,
    dtype: Any,
    wanted: jax.Array | bool = True,
) -> jax.Array:
    """Minimises a convex function over non-negative vectors.

    Mehrotra's predictor-corrector method, to the precision of the dtype.

    Args:
      derivatives: gradient and Hessian at a point; the latter with a diagonal near one.
      size: length of the vectors.
      dtype: their dtype.
      wanted: whether to move at all; where it is false, nothing is computed.

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

    gap = jnp.where(wanted, jnp.ones([], dtype), 0)
    start = _Point(jnp.zeros([], jnp.int32), ones, ones, gap)
    return lax.while_loop(far, advance, start).y if size else ones


def _longest(x: jax.Array, dx: jax.Array) -> jax.Array:
    """The longest step up to one that leaves x positive."""
    limit = jnp.where(dx < 0, x / jnp.where(dx < 0, -dx, 1), 1)
    return jnp.minimum(1, jnp.min(limit))


def qp_tolerance(dtype: Any) -> float:
    """The residual up to which a program on unit gradients counts as solved."""
    return 1e-9 if jnp.finfo(dtype).bits > 32 else 1e-4
