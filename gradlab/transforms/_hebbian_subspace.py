"""The principal subspace of a layer's inputs, learned by a Hebbian rule."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import Params

LARGEST = 10.0
"""Bound on each entry of a Hebbian step before the rate."""


def first_subspaces(params: Params, chosen: Any, rule: Any) -> Any:
    """For each chosen array and task orthonormal rows, as wide as the inputs of its weights.

    Empty arrays for all others.
    """
    first, tasks = jax.random.key(rule.seed), len(rule.task_starts) + 1
    keys = iter(jax.random.split(first, len(jax.tree.leaves(params)) + 1))
    orthogonal = jax.vmap(jax.nn.initializers.orthogonal(), (0, None, None))

    def leaf(p: Any, weights: bool) -> jax.Array:
        dtype, key = jnp.finfo(core.compute_dtype(p)).dtype, next(keys)
        if not weights or not p.size:
            return jnp.zeros((0, 0), dtype)
        width = p.size // p.shape[-1]
        rows = orthogonal(jax.random.split(key, tasks), (rule.rank, width), dtype)
        return rows.reshape(-1, width)

    return jax.tree.map(leaf, params, chosen)


def hebbian_step(rows: jax.Array, x: jax.Array) -> jax.Array:
    """Hebbian learning of what the rows do not explain, averaged over examples."""
    y = x @ rows.T
    return jnp.clip(y.T @ (x - y @ rows) / x.shape[0], -LARGEST, LARGEST)
