"""A linear function and a norm, minimised over weights."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from gradlab.linalg._implicit import implicit_root
from gradlab.linalg._qp import nonnegative_minimum

ROUNDS = 100


def homogeneous_minimum(
    matrix: jax.Array, linear: jax.Array, radius: jax.Array, sums: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    r"""Minimises a linear function and a norm over weights.

    $$\min_{y \ge 0,\ r^\top y = 1}\ b^\top y + c\, \sqrt{y^\top Q\, y}$$

    The function is homogeneous, so that the constraint may enter as a square and y be scaled
    afterwards. The derivative is that of the implicit function theorem for the entries that
    are not zero.

    Args:
      matrix: Q, symmetric and positive semi-definite, of shape `(k, k)`, with a diagonal
        near one.
      linear: b, of shape `(k,)`, with entries up to one.
      radius: c, non-negative.
      sums: r, of shape `(k,)`, with entries in [0, 1], one of them one.

    Returns:
      The minimiser y up to a factor; how far it is from one, the largest entry of
      |min(y, gradient)|; and whether the norm is zero there, where it has a kink.
    """
    weight = 4 * (1 + radius)
    fixed = lax.stop_gradient((matrix, linear, radius, sums, weight))
    first = nonnegative_minimum(lambda y: _derivatives(y, *fixed), linear.size, linear.dtype)
    tolerance = 10 * linear.size * jnp.finfo(linear.dtype).eps

    def at_kink(y: jax.Array) -> jax.Array:
        square = y @ fixed[0] @ y
        return square <= jnp.finfo(y.dtype).eps * (fixed[3] @ y) ** 2

    def unsolved(carry: tuple) -> jax.Array:
        rounds, y = carry
        open_still = (_residual(y, *fixed) > tolerance) & ~at_kink(y)
        return open_still & (rounds < ROUNDS)

    def improve(carry: tuple) -> tuple:
        rounds, y = carry
        # The first rounds trust that the zeros are found; the others find them anew.
        y = lax.cond(rounds < 3, lambda y: y, lambda y: _majorized(y, *fixed), y)
        step, free = _newton(y, *fixed)
        better = jnp.where(free, jnp.maximum(y - step, 0), 0)
        return rounds + 1, jnp.where(_residual(better, *fixed) < _residual(y, *fixed), better, y)

    _, y = lax.while_loop(unsolved, improve, (jnp.zeros([], jnp.int32), first))
    free = y > _derivatives(y, *fixed)[0]

    def system(y: jax.Array, *args: jax.Array) -> jax.Array:
        return jnp.where(free, _derivatives(y, *args)[0], y)

    jacobian = _masked(_derivatives(y, *fixed)[1], free)
    solution = implicit_root(system, y, jacobian, matrix, linear, radius, sums, weight)
    residual = jnp.where(at_kink(y), 0, _residual(y, *fixed))
    return solution, residual, at_kink(y)


def _derivatives(
    y: jax.Array,
    matrix: jax.Array,
    linear: jax.Array,
    radius: jax.Array,
    sums: jax.Array,
    weight: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Gradient and Hessian; the norm is rounded off at zero, by the root of the precision."""
    product = matrix @ y
    norm = jnp.sqrt(y @ product + 4 * jnp.finfo(y.dtype).eps ** 1.5)
    gradient = linear + radius * product / norm + weight * (sums @ y - 1) * sums
    along = product / norm
    hessian = radius / norm * (matrix - along * along[:, None]) + weight * sums * sums[:, None]
    return gradient, hessian


def _majorized(
    y: jax.Array,
    matrix: jax.Array,
    linear: jax.Array,
    radius: jax.Array,
    sums: jax.Array,
    weight: jax.Array,
) -> jax.Array:
    """The minimiser of a quadratic function above ours that touches it at y."""
    norm = jnp.sqrt(y @ matrix @ y + 4 * jnp.finfo(y.dtype).eps ** 1.5)
    curved = radius / norm * matrix + weight * sums * sums[:, None]
    pull = linear - weight * sums
    size = jnp.max(jnp.diagonal(curved), initial=1)
    return nonnegative_minimum(
        lambda z: ((curved @ z + pull) / size, curved / size), y.size, y.dtype
    )


def _residual(y: jax.Array, *args: jax.Array) -> jax.Array:
    gradient = _derivatives(y, *args)[0] / args[-1]
    return jnp.max(jnp.abs(jnp.minimum(y, gradient)), initial=0)


def _masked(matrix: jax.Array, free: jax.Array) -> jax.Array:
    return jnp.where(free[:, None] & free, matrix, jnp.eye(free.size, dtype=matrix.dtype))


def _newton(y: jax.Array, *args: jax.Array) -> tuple[jax.Array, jax.Array]:
    gradient, hessian = _derivatives(y, *args)
    free = y > gradient
    values, vectors = jnp.linalg.eigh(_masked(hessian, free))
    singular = values <= 10 * y.size * jnp.finfo(y.dtype).eps * jnp.max(values, initial=0)
    inverse = jnp.where(singular, 0, 1 / jnp.where(singular, 1, values))
    return vectors @ (inverse * (jnp.where(free, gradient, 0) @ vectors)), free
