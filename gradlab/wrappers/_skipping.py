"""A step of an inner optimizer that is taken, or left out as if it had not been."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab.core import Params, Transform, Updates


def step_or_stay(
    accepted: jax.Array,
    inner: Transform,
    updates: Updates,
    state: Any,
    params: Params | None,
    extra: dict[str, Any],
) -> tuple[Updates, Any]:
    """The inner optimizer's step where it is accepted; elsewhere zeros, and the old state.

    It is a choice between values, not between programs: it stays one under vmap, and no
    derivative passes through what is not finite.
    """
    safe = jax.tree.map(lambda g: jnp.where(accepted, g, 0), updates)
    steps, new = inner.rule.update(safe, state, params, **extra)
    steps = jax.tree.map(lambda u: jnp.where(accepted, u, 0), steps)
    state = jax.tree.map(lambda a, b: jnp.where(accepted, a.astype(b.dtype), b), new, state)
    return steps, state
