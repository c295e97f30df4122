"""Arrays in 4 or 8 bits a number: codes, and for each block of numbers a scale.

A block is divided by its largest size, and each quotient becomes the nearest of a few levels.
The levels lie dense near zero where small numbers have to keep their digits (dynamic maps), and
evenly without a zero where a step divides by the result (linear maps).
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gradlab.core import unknown


def dynamic_map(decades: int, signed: bool) -> np.ndarray:
    """The levels of dynamic quantisation: each decade has twice as many as the one below.

    Args:
      decades: powers of ten that the levels span: 7 for 8 bits, 3 for 4 bits.
      signed: levels in [-1, 1]; otherwise in [0, 1], and twice as many of them.

    Returns:
      `2**(decades + 1)` ascending levels, zero and one among them.
    """
    decade = [np.zeros(0)]
    for i in range(decades):
        edges = np.linspace(0.1, 1.0, _count(i, signed) + 1)
        decade.append((edges[:-1] + edges[1:]) / 2 * 10.0 ** (i + 1 - decades))
    sizes = np.concatenate(decade)
    below = -sizes[::-1] if signed else np.zeros(0)
    return np.concatenate([below, [0.0], sizes, [1.0]])


def _count(decade: int, signed: bool) -> int:
    return 2**decade if signed else 2 ** (decade + 1)


@dataclasses.dataclass(frozen=True)
class Codec:
    """A way to keep numbers between -1 and 1 in a few bits.

    Attributes:
      name: what it is called.
      bits: of each code.
      block_size: numbers that share a scale, unless said otherwise.
      signed: whether negative numbers have codes. Without, a number that is not zero gets a
        code that is not zero either, since it is a second moment that a step divides by.
    """

    name: str
    bits: int
    block_size: int
    signed: bool

    def code(self, quotients: jax.Array, present: jax.Array) -> jax.Array:
        """The code of the level nearest to each number; `present` says which are positive."""
        raise NotImplementedError

    def level(self, codes: jax.Array, dtype: Any) -> jax.Array:
        """The number that each code stands for."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Dynamic(Codec):
    """The dynamic map of a number of decades."""

    decades: int

    def code(self, quotients: jax.Array, present: jax.Array) -> jax.Array:
        # A code is the number of midpoints between levels that lie below. Those within a
        # decade are evenly spaced, so that a product and a floor count them.
        steps, crossings = _midpoints(self.decades, self.signed)
        size = jnp.abs(quotients) if self.signed else quotients
        rank = jnp.zeros_like(size)
        for slope, offset, most in steps:
            rank = rank + jnp.clip(jnp.floor(size * slope - offset), 0, most)
        for crossing in crossings:
            rank = rank + (size >= crossing).astype(size.dtype)
        if self.signed:
            middle = 2**self.decades - 1
            rank = middle + jnp.where(quotients < 0, -jnp.minimum(rank, middle), rank)
        else:
            rank = jnp.where(present, jnp.maximum(rank, 1), 0)
        return rank.astype(jnp.int32).astype(jnp.uint8)

    def level(self, codes: jax.Array, dtype: Any) -> jax.Array:
        # Computed, not looked up: a table is read into an array of its own where a step needs
        # the numbers more than once. Counted from one in the lowest decade (from two where
        # there are twice as many levels), the exponent of a count is the decade, and the rest
        # of it the place within.
        middle = 2**self.decades - 1 if self.signed else 0
        rank = codes.astype(jnp.int32) - middle
        count = (jnp.abs(rank) if self.signed else rank + 1).astype(dtype)
        value = jnp.zeros_like(count)
        for i in range(self.decades):
            first, unit = _count(i, self.signed), 10.0 ** (i + 1 - self.decades)
            level = (count + 0.5) * (0.9 * unit / first) - 0.8 * unit
            value = jnp.where(count >= first, level, value)
        value = jnp.where(count >= 2 * first, 1, value)
        return jnp.where(rank < 0, -value, value)


@dataclasses.dataclass(frozen=True)
class Linear(Codec):
    """Evenly spaced levels in (0, 1], without zero."""

    def code(self, quotients: jax.Array, present: jax.Array) -> jax.Array:
        del present
        count = 2**self.bits
        rank = jnp.clip(jnp.round(quotients * count), 1, count) - 1
        return rank.astype(jnp.int32).astype(jnp.uint8)

    def level(self, codes: jax.Array, dtype: Any) -> jax.Array:
        return (codes.astype(dtype) + 1) / 2**self.bits


@dataclasses.dataclass(frozen=True)
class Float8(Codec):
    """Floating-point numbers of 8 bits, the largest of which stands for one."""

    dtype: str

    def code(self, quotients: jax.Array, present: jax.Array) -> jax.Array:
        to = jnp.finfo(self.dtype)
        scaled = quotients * float(to.max)
        if not self.signed:
            scaled = jnp.where(present, jnp.maximum(scaled, float(to.smallest_subnormal)), 0)
        return scaled.astype(self.dtype)

    def level(self, codes: jax.Array, dtype: Any) -> jax.Array:
        return codes.astype(dtype) / float(jnp.finfo(self.dtype).max)


@functools.cache
def _midpoints(decades: int, signed: bool) -> tuple[list, list]:
    """Midpoints within each decade, as a line and their number, and between one and the next."""
    steps, crossings, below = [], [], 0.0
    for i in range(decades):
        count, unit = _count(i, signed), 10.0 ** (i + 1 - decades)
        width = 0.9 / count
        crossings.append((below + unit * (0.1 + width / 2)) / 2)
        if count > 1:
            steps.append((1 / (unit * width), 0.1 / width, count - 1))
        below = unit * (1 - width / 2)
    return steps, [*crossings, (below + 1) / 2]


_BY_NAME: dict[str, tuple[Codec, Codec]] = {
    "int8": (Dynamic("int8", 8, 256, True, 7), Dynamic("int8", 8, 256, False, 7)),
    "int4": (Dynamic("int4", 4, 128, True, 3), Linear("int4", 4, 128, False)),
    **{
        name: (Float8(name, 8, 256, True, name), Float8(name, 8, 256, False, name))
        for name in ("float8_e4m3fn", "float8_e5m2")
    },
}
CODECS = tuple(_BY_NAME)
"""Names of codecs."""


def codec_named(name: str, signed: bool = True) -> Codec:
    """A codec for numbers of both signs, or for numbers that are not negative.

    Raises:
      ValueError: there is none of this name (the message has the nearest), or the device has
        no such numbers.
    """
    if name not in _BY_NAME:
        raise ValueError(unknown("codec", name, CODECS))
    if name.startswith("float8") and not has_dtype(name):
        raise ValueError(f"{jax.default_backend()} devices have no {name} here")
    return _BY_NAME[name][0 if signed else 1]


@functools.cache
def has_dtype(name: str) -> bool:
    """Whether the default device converts to numbers of a dtype and back."""
    try:
        there = jax.jit(lambda x: x.astype(name).astype(jnp.float32))(jnp.ones(1))
        return bool(there[0] == 1)
    except Exception:
        return False


# Traced once for all arrays of a shape, and written into the program for each.
@functools.partial(jax.jit, static_argnums=(1, 2), inline=True)
def encode(x: jax.Array, codec: Codec, block_size: int) -> tuple[jax.Array, jax.Array]:
    """Brings real numbers into codes and scales.

    Blocks are consecutive numbers in row-major order; the last one may be shorter.

    Args:
      x: numbers in float32 or wider, of any shape.
      codec: see `codec_named`.
      block_size: numbers in a block.

    Returns:
      Codes of the shape of `x` for 8 bits; for 4 bits two to a byte, along the last axis where
      it is even, else in one vector. And the scales, of the dtype of `x`, one for each block.
      Codes have no derivative; a scale has that of the number whose size it is.
    """
    if x.size == 0:
        return jnp.zeros(packed_shape(x.shape, codec), jnp.uint8), jnp.zeros(0, x.dtype)
    blocks = _blocks(x, block_size)
    scales = _largest_size(blocks)
    still, size = lax.stop_gradient((blocks, scales))
    inverse = jnp.where(size > 0, 1 / jnp.where(size > 0, size, 1), 0)
    codes = codec.code(still * inverse[:, None], still > 0).reshape(-1)[: x.size]
    if codec.bits == 4:
        pairs = _blocks(codes, 2)
        codes = pairs[:, 0] << 4 | pairs[:, 1]
    return codes.reshape(packed_shape(x.shape, codec)), scales


@jax.custom_jvp
def _largest_size(blocks: jax.Array) -> jax.Array:
    return jnp.max(jnp.abs(blocks), axis=1)


# The derivative of `jnp.max` divides by the number of entries that equal the result. A compiler
# may compute the entries twice, with other rounding, and then there is none.
@_largest_size.defjvp
def _largest_size_jvp(primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    (blocks,), (direction,) = primals, tangents
    index = jnp.argmax(jnp.abs(blocks), axis=1)[:, None]
    of_index = [jnp.take_along_axis(x, index, axis=1)[:, 0] for x in (blocks, direction)]
    return _largest_size(blocks), jnp.sign(of_index[0]) * of_index[1]


@functools.partial(jax.jit, static_argnums=(2, 3, 4), inline=True)
def decode(
    codes: jax.Array, scales: jax.Array, codec: Codec, block_size: int, shape: tuple[int, ...]
) -> jax.Array:
    """The inverse of `encode`, up to rounding.

    Args:
      codes, scales: what `encode` gave.
      codec, block_size: as there.
      shape: that of the numbers.

    Returns:
      The numbers, of the dtype of the scales.
    """
    size = math.prod(shape)
    if size == 0:
        return jnp.zeros(shape, scales.dtype)
    codes = codes.reshape(-1)
    if codec.bits == 4:
        codes = jnp.stack([codes >> 4, codes & 15], axis=1).reshape(-1)[:size]
    blocks = _blocks(codec.level(codes, scales.dtype), block_size)
    return (blocks * scales[:, None]).reshape(-1)[:size].reshape(shape)


def packed_shape(shape: tuple[int, ...], codec: Codec) -> tuple[int, ...]:
    """The shape of the codes of an array."""
    if codec.bits == 8:
        return shape
    if shape and shape[-1] % 2 == 0:
        return (*shape[:-1], shape[-1] // 2)
    return (-(-math.prod(shape) // 2),)


def _blocks(x: jax.Array, block_size: int) -> jax.Array:
    flat = x.reshape(-1)
    missing = -flat.size % block_size
    if missing:
        flat = jnp.pad(flat, (0, missing))
    return flat.reshape(-1, block_size)
