"""Random keys of rules: a seed is part of the structure, the key itself is state."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradlab.core._fields import is_tracer


def seed_or_words(key: Any) -> int | tuple[int, ...] | None:
    """A seed, or the words of a key: what can be part of an optimizer's structure.

    Args:
      key: an integer, a key of either kind, or None.

    Returns:
      A hashable form, for `initial_key`.

    Raises:
      TypeError: the key is traced; the message says where to put it.
    """
    if is_tracer(key):
        raise TypeError(
            "a traced key cannot be part of an optimizer: give any seed, and put the key into "
            "the state as raw words, jax.random.key_data(key)"
        )
    if key is None or isinstance(key, int | np.integer):
        return None if key is None else int(key)
    return tuple(np.asarray(jax.random.key_data(key)).tolist())


def initial_key(source: int | tuple[int, ...] | None) -> jax.Array:
    """The first key of a state, as raw uint32 words; that of seed 0 for None."""
    if isinstance(source, tuple):
        return jnp.array(source, jnp.uint32)
    return jax.random.PRNGKey(source or 0)
