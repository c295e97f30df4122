"""Rounding to 16 bits: to the nearest, at random, and with the remainder kept in 8 more.

All of it works on the words of float32 numbers. A compiler may drop a cast to fewer bits
that is followed by a cast back, and with it the rounding; words it leaves alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

SIGNIFICAND = 23
"""Stored bits of a float32's significand."""

FINEST = 127
"""The code of a remainder of half the distance between neighbours."""


def _words(x: jax.Array) -> jax.Array:
    return lax.bitcast_convert_type(x, jnp.uint32)


def _number(words: jax.Array) -> jax.Array:
    return lax.bitcast_convert_type(words, jnp.float32)


def _cut(size: jax.Array, dtype: Any, addend: Callable[[jax.Array, int], jax.Array]) -> jax.Array:
    """Adds less than a unit in the last place of `dtype` to the words, and cuts them off."""
    dropped = SIGNIFICAND - jnp.finfo(dtype).nmant
    words = _words(size)
    return _number((words + addend(words, dropped)) & jnp.uint32(2**32 - 2**dropped))


def _has_own_subnormals(dtype: Any) -> bool:
    """Whether numbers that are subnormal in this dtype are normal in float32."""
    return jnp.finfo(dtype).minexp > jnp.finfo(jnp.float32).minexp


def _finish(x: jax.Array, rounded: jax.Array, bound: float) -> jax.Array:
    """The sign; infinity where the size reaches a bound; what is not finite as it is."""
    rounded = jnp.where(jnp.abs(x) < bound, rounded, jnp.inf)
    return jnp.where(jnp.isfinite(x), jnp.copysign(rounded, x), x)


def _bound(dtype: Any) -> tuple[float, float]:
    """The largest number of a dtype, and the size from which the nearest one is infinite."""
    to = jnp.finfo(dtype)
    largest = float(to.max)
    return largest, largest * (1 + 2.0 ** -(to.nmant + 2) / (1 - 2.0 ** -(to.nmant + 1)))


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def round_to_nearest(x: jax.Array, dtype: Any) -> jax.Array:
    """The nearest numbers that a narrower dtype holds, ties to even, in float32.

    Args:
      x: numbers in float32.
      dtype: float16 or bfloat16.

    Returns:
      An array in float32, which a cast to `dtype` does not change. Its derivative is one.
    """

    def addend(words: jax.Array, dropped: int) -> jax.Array:
        return jnp.uint32(2 ** (dropped - 1) - 1) + ((words >> dropped) & 1)

    size, to = jnp.abs(x), jnp.finfo(dtype)
    rounded = _cut(size, dtype, addend)
    if _has_own_subnormals(dtype):
        unit = float(to.smallest_subnormal)
        below = jnp.round(size * (1 / unit)) * unit
        rounded = jnp.where(size < to.smallest_normal, below, rounded)
    return _finish(x, rounded, _bound(dtype)[1])


@round_to_nearest.defjvp
def _round_to_nearest_jvp(dtype: Any, primals: tuple, tangents: tuple) -> tuple:
    return round_to_nearest(*primals, dtype), tangents[0]


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def round_stochastically(x: jax.Array, dtype: Any, bits: jax.Array) -> jax.Array:
    """One of the two neighbours that a narrower dtype holds, at random, in float32.

    The nearer a neighbour, the likelier it is, so that the expectation is the number
    itself. What the dtype holds exactly stays as it is; a number becomes infinite only
    where rounding to the nearest would make it so.

    Args:
      x: numbers in float32.
      dtype: float16 or bfloat16.
      bits: uniformly random uint32 words, of the same shape.

    Returns:
      An array in float32, which a cast to `dtype` does not change. Its derivative is that
      of its expectation, one.
    """

    def addend(words: jax.Array, dropped: int) -> jax.Array:
        del words
        return bits >> (32 - dropped)

    largest, bound = _bound(dtype)
    size, smallest = jnp.abs(x), jnp.float32(jnp.finfo(dtype).smallest_normal)
    # The grid of subnormal numbers is as fine as that just above them, so they are rounded
    # one binade up.
    lift = jnp.where(size < smallest, smallest, 0) if _has_own_subnormals(dtype) else 0
    rounded = _cut(size + lift, dtype, addend) - lift
    return _finish(x, jnp.minimum(rounded, largest), bound)


@round_stochastically.defjvp
def _round_stochastically_jvp(dtype: Any, primals: tuple, tangents: tuple) -> tuple:
    x, bits = primals
    return round_stochastically(x, dtype, bits), tangents[0]


def half_unit(x: jax.Array, dtype: Any) -> jax.Array:
    """Half of the distance from a number to the next larger one of a dtype, in float32."""
    to = jnp.finfo(dtype)
    size = jnp.maximum(jnp.abs(x), jnp.float32(to.smallest_normal))
    binade = _number(_words(size) & jnp.uint32(0xFF << SIGNIFICAND))
    return binade * jnp.float32(2.0 ** (-to.nmant - 1))


def split(x: jax.Array, dtype: Any) -> tuple[jax.Array, jax.Array]:
    """Splits float32 numbers into the nearest of a narrower dtype and eight bits of the rest.

    Args:
      x: numbers in float32.
      dtype: float16 or bfloat16.

    Returns:
      The numbers rounded to the nearest, in float32, and the remainder in int8, in units of
      a 254th of the distance between neighbours. `join` puts them together again.
    """
    rounded = round_to_nearest(x, dtype)
    codes = jnp.round((x - rounded) / half_unit(rounded, dtype) * FINEST)
    # Where the number is not finite, there is nothing to keep.
    codes = jnp.where(jnp.isfinite(codes), codes, 0)
    return rounded, lax.stop_gradient(codes).astype(jnp.int8)


def join(rounded: jax.Array, codes: jax.Array, dtype: Any) -> jax.Array:
    """The inverse of `split`, in float32."""
    unit = lax.stop_gradient(half_unit(rounded, dtype))
    return rounded + codes.astype(jnp.float32) * unit / FINEST
