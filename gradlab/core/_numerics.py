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


@jax.custom_jvp
def sqrt(x: jax.Array) -> jax.Array:
    """The square root, with derivative zero at zero."""
    return lax.sqrt(x)


@sqrt.defjvp
def _sqrt_jvp(primals: tuple, tangents: tuple) -> tuple:
    root = sqrt(*primals)
    return root, _guarded_quotient(0.5 * tangents[0], root)


def reciprocal_sqrt(x: jax.Array, at_zero: float = 0.0) -> jax.Array:
    """One over the square root; `at_zero`, with derivative zero, at zero."""
    return _reciprocal_sqrt(x, jnp.full_like(x, at_zero))


@jax.custom_jvp
def _reciprocal_sqrt(x: jax.Array, at_zero: jax.Array) -> jax.Array:
    return lax.select(x == 0, at_zero, lax.rsqrt(x))


@_reciprocal_sqrt.defjvp
def _reciprocal_sqrt_jvp(primals: tuple, tangents: tuple) -> tuple:
    inverse = _reciprocal_sqrt(*primals)
    return inverse, _guarded_quotient(-0.5 * inverse * tangents[0], primals[0])


def divide(x: Any, y: jax.Array) -> jax.Array:
    """The quotient; zero, with derivative zero, where the divisor is zero."""
    return _divide(*jnp.broadcast_arrays(*_promote(x, y)))


@jax.custom_jvp
def _divide(x: jax.Array, y: jax.Array) -> jax.Array:
    return lax.select(y == 0, jnp.zeros_like(y), lax.div(x, y))


@_divide.defjvp
def _divide_jvp(primals: tuple, tangents: tuple) -> tuple:
    (x, y), (dx, dy) = primals, tangents
    quotient = _divide(x, y)
    return quotient, _guarded_quotient(dx - quotient * dy, y)


def _guarded_quotient(x: jax.Array, y: jax.Array) -> jax.Array:
    """The quotient as derivatives need it: its transpose, too, never divides by zero."""
    zero = y == 0
    safe = lax.select(zero, jnp.ones_like(y), y)
    return lax.select(zero, jnp.zeros_like(y), _quotient(x, safe))


@jax.custom_jvp
def _quotient(x: jax.Array, y: jax.Array) -> jax.Array:
    return lax.div(x, y)


@_quotient.defjvp
def _quotient_jvp(primals: tuple, tangents: tuple) -> tuple:
    # JAX's own rule multiplies x by y**-2, which overflows for a tiny y although the
    # derivative is finite.
    (x, y), (dx, dy) = primals, tangents
    quotient = _quotient(x, y)
    return quotient, _quotient(dx - quotient * dy, y)


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


def direction(x: jax.Array) -> jax.Array:
    """The sign, or x / |x| of complex numbers; zero, with derivative zero, at zero."""
    return divide(x, jnp.abs(x)) if jnp.iscomplexobj(x) else lax.sign(x)


def next_in_sequence(t: Any) -> jax.Array:
    """The number after t in the sequence that Nesterov's acceleration weighs its steps with."""
    return (1 + jnp.sqrt(1 + 4 * t**2)) / 2


def soft_threshold(x: jax.Array, threshold: Any) -> jax.Array:
    """Numbers nearer to zero by a threshold that is not negative; zero below it.

    At the threshold the derivative is that from outside, so that a threshold of zero is the
    identity with derivative one everywhere. Complex numbers keep their argument.
    """
    return jnp.where(absolute(x) < threshold, 0, x - threshold * direction(x))


def power(x: jax.Array, exponent: Any) -> jax.Array:
    """A power of numbers that are not negative, with derivatives zero at zero."""
    exponent = jnp.asarray(exponent, x.dtype)
    zero = x == 0
    return jnp.where(zero, (exponent == 0).astype(x.dtype), jnp.where(zero, 1, x) ** exponent)


def signed_power(x: jax.Array, exponent: Any) -> jax.Array:
    """The power of the absolute value with the sign of the number, or its direction."""
    return direction(x) * power(absolute(x), exponent)


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


def all_finite(tree: Any) -> jax.Array:
    """Whether every number of a tree is finite; true for a tree without arrays."""
    # A number less itself is zero unless it is not finite. A sum of squares is what the
    # compiler reduces without storing anything on the way.
    zeros = [jnp.sum(abs_sq(jnp.asarray(x) - x)) for x in jax.tree.leaves(tree)]
    return jnp.isfinite(sum(zeros, jnp.zeros([])))
