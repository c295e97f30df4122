"""Elementary functions whose derivatives are finite at zero.

Each equals the plain formula bit for bit wherever that is finite. At the singular point
the derivative, of every order, is taken as zero: the argument is a second moment, a norm
or a denominator that is zero because nothing moved there.

NaN and infinite arguments give what the plain formula gives.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def _guard(x: jax.Array, replacement: float) -> tuple[jax.Array, jax.Array]:
    """Where `x` is zero, and `x` with those zeros replaced."""
    zero = x == 0
    return zero, lax.select(zero, jnp.full_like(x, replacement), x)


def sqrt(x: jax.Array) -> jax.Array:
    """The square root, with derivative zero at zero."""
    zero, safe = _guard(x, 1.0)
    # Times zero keeps the sign of a zero and flushes what the comparison took for one.
    return lax.select(zero, lax.stop_gradient(x) * 0, lax.sqrt(safe))


def reciprocal_sqrt(x: jax.Array, at_zero: float = 0.0) -> jax.Array:
    """One over the square root; `at_zero`, with derivative zero, at zero."""
    zero, safe = _guard(x, 1.0)
    return lax.select(zero, jnp.full_like(x, at_zero), lax.rsqrt(safe))


def divide(x: Any, y: jax.Array) -> jax.Array:
    """The quotient; zero, with derivative zero, where the divisor is zero."""
    x, y = jnp.broadcast_arrays(*_promote(x, y))
    zero, safe = _guard(y, 1.0)
    return lax.select(zero, jnp.zeros_like(y), _quotient(x, safe))


@jax.custom_jvp
def _quotient(x: jax.Array, y: jax.Array) -> jax.Array:
    return lax.div(x, y)


@_quotient.defjvp
def _quotient_jvp(primals: tuple, tangents: tuple) -> tuple:
    # JAX's own rule multiplies x by y**-2, which overflows for a tiny y although the
    # derivative is finite.
    (x, y), (dx, dy) = primals, tangents
    q = _quotient(x, y)
    return q, _quotient(dx - q * dy, y)


def _promote(x: Any, y: Any) -> tuple[jax.Array, jax.Array]:
    dtype = jnp.result_type(x, y)
    return jnp.asarray(x, dtype), jnp.asarray(y, dtype)


def abs_sq(x: jax.Array) -> jax.Array:
    """The squared absolute value, real for complex input."""
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        return lax.square(jnp.real(x)) + lax.square(jnp.imag(x))
    return lax.square(x)


def absolute(x: jax.Array) -> jax.Array:
    """The absolute value, with derivative zero at zero; JAX's own is one there."""
    complex_input = jnp.issubdtype(x.dtype, jnp.complexfloating)
    return jnp.abs(x) if complex_input else _absolute(x)


@jax.custom_jvp
def _absolute(x: jax.Array) -> jax.Array:
    return lax.abs(x)


@_absolute.defjvp
def _absolute_jvp(primals: tuple, tangents: tuple) -> tuple:
    (x,), (dx,) = primals, tangents
    return _absolute(x), lax.sign(x) * dx


def norm(x: jax.Array, axis: Any = None, keepdims: bool = False) -> jax.Array:
    """The Euclidean norm, with derivative zero at zero."""
    return sqrt(jnp.sum(abs_sq(x), axis=axis, keepdims=keepdims))


def global_norm(updates: Any) -> jax.Array:
    """The Euclidean norm of all arrays of a tree together, computed in float32 or wider."""
    leaves = jax.tree.leaves(updates)
    if not leaves:
        return jnp.zeros([], jnp.float32)
    dtype = jnp.promote_types(jnp.float32, jnp.result_type(*leaves))
    squares = [jnp.sum(abs_sq(jnp.asarray(x, dtype))) for x in leaves]
    total = squares[0]
    for square in squares[1:]:
        total = total + square
    return sqrt(total)


def inner_product(left: Any, right: Any) -> jax.Array:
    """The real inner product of two trees of one structure, in float32 or wider."""
    pairs = list(zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True))
    total = jnp.zeros([], jnp.float32)
    for a, b in pairs:
        dtype = jnp.promote_types(jnp.float32, jnp.result_type(a, b))
        a, b = jnp.asarray(a, dtype), jnp.asarray(b, dtype)
        total = total + jnp.sum(jnp.real(jnp.conj(a) * b))
    return total
