"""Random draws that cost little to compile.

XLA inlines the generator at every draw: three small normal draws compile eight times slower than
one large draw that is cut up, and a `randint` twice as slow as plain random bits.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def positions(key: jax.Array, shape: tuple[int, ...], count: int) -> jax.Array:
    """Returns random integers in [0, count), for choosing examples.

    The remainder of 32 random bits prefers small numbers by at most count / 2^32, which is
    nothing for choosing examples.
    """
    bits = jax.random.bits(key, shape, jnp.uint32)
    return (bits % jnp.uint32(count)).astype(jnp.int32)


def normals(key: jax.Array, shapes: Any) -> Any:
    """Returns standard normal arrays in the form of a tree of shaped leaves, from one draw."""
    leaves, structure = jax.tree.flatten(shapes)
    ends = np.cumsum([int(np.prod(leaf.shape)) for leaf in leaves])
    drawn = jnp.split(jax.random.normal(key, (int(ends[-1]),)), ends[:-1])
    shaped = [part.reshape(leaf.shape) for part, leaf in zip(drawn, leaves, strict=True)]
    return jax.tree.unflatten(structure, shaped)
