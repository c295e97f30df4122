"""Random numbers that a compiled program computes where it uses them.

On CPU, JAX compiles its default generator, Threefry, as a loop over rounds, which keeps four
arrays of the size of the result in memory. Written out, the rounds are elementwise and fuse
into whatever reads the numbers: nothing is stored, in a quarter of the time. The numbers are
the same, bit for bit.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.random import define_prng_impl

_THREEFRY = "threefry2x32"
_PARITY = np.uint32(0x1BD11BDA)
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_GROUPS = 5  # of four rounds each: Threefry-2x32-20


def fusible(key: jax.Array) -> jax.Array:
    """The same key, whose numbers are computed where they are used.

    Args:
      key: a typed key, or raw words of the default generator.

    Returns:
      A typed key for `jax.random`, from which it draws what it would draw from `key`. A key
      of another generator than Threefry is returned as it is.
    """
    # jax defines its options at run time, where a type checker does not see them.
    partitionable = jax.config.jax_threefry_partitionable  # pyright: ignore[reportAttributeAccessIssue]
    if not partitionable or str(jax.random.key_impl(key)) != _THREEFRY:
        return key
    return jax.random.wrap_key_data(jax.random.key_data(key), impl=_written_out)


def _random_bits(words: jax.Array, width: int, shape: tuple[int, ...]) -> jax.Array:
    if math.prod(shape) >= 2**32:
        return jax.random.bits(_plain(words), shape, f"uint{width}")
    high, low = _threefry(words, jnp.zeros(shape, jnp.uint32), _positions(shape))
    if width == 64:
        return (high.astype(jnp.uint64) << np.uint64(32)) | low.astype(jnp.uint64)
    return (high ^ low).astype(f"uint{width}")


def _positions(shape: tuple[int, ...]) -> jax.Array:
    """The number of each element in row-major order, axis by axis, so that it can be sharded."""
    total = jnp.zeros(shape, jnp.uint32)
    for axis in range(len(shape)):
        stride = np.uint32(math.prod(shape[axis + 1 :]))
        total = total + lax.broadcasted_iota(jnp.uint32, shape, axis) * stride
    return total


def _threefry(words: jax.Array, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Threefry-2x32 with 20 rounds: Salmon, Moraes, Dror and Shaw, SC 2011."""
    keys = (words[0], words[1], words[0] ^ words[1] ^ _PARITY)
    x, y = x + keys[0], y + keys[1]
    for group in range(_GROUPS):
        for distance in _ROTATIONS[group % 2]:
            x = x + y
            y = ((y << np.uint32(distance)) | (y >> np.uint32(32 - distance))) ^ x
        x = x + keys[(group + 1) % 3]
        y = y + keys[(group + 2) % 3] + np.uint32(group + 1)
    return x, y


def _plain(words: jax.Array) -> jax.Array:
    return jax.random.wrap_key_data(words, impl=_THREEFRY)


def _seed(seed: Any) -> jax.Array:
    return jax.random.key_data(jax.random.key(seed, impl=_THREEFRY))


def _split(words: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return jax.random.key_data(jax.random.split(_plain(words), shape))


def _fold_in(words: jax.Array, data: Any) -> jax.Array:
    return jax.random.key_data(jax.random.fold_in(_plain(words), data))


_written_out = define_prng_impl(
    key_shape=(2,),
    seed=_seed,
    split=_split,
    random_bits=_random_bits,
    fold_in=_fold_in,
    name="gradlab_threefry2x32",
    tag="glfry",
)
