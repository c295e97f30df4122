"""Masks of the largest numbers: of several arrays together, of units, of N in every M."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradlab.linalg._ranking import largest


def largest_together(scores: Sequence[jax.Array], count: Any) -> list[jax.Array]:
    """Where the `count` largest scores of several arrays are; see `largest` for equal ones.

    Args:
      scores: arrays of real numbers.
      count: how many of all together, an integer that may be traced.

    Returns:
      A mask for each array.
    """
    if not scores:
        return []
    kept = largest(jnp.concatenate([x.ravel() for x in scores]), count)
    ends = [0]
    for x in scores:
        ends.append(ends[-1] + x.size)
    return [kept[ends[i] : ends[i + 1]].reshape(x.shape) for i, x in enumerate(scores)]


def largest_of_units(scores: jax.Array, count: Any, unit_axis: int = -1) -> jax.Array:
    """Where the `count` largest scores of each unit are; units lie along one axis.

    Args:
      scores: real numbers, of one dimension or more.
      count: how many of each unit, an integer that may be traced.
      unit_axis: the axis that counts units.

    Returns:
      A mask of the shape of `scores`.
    """
    if not scores.size:
        return jnp.zeros(scores.shape, bool)
    units = jnp.moveaxis(scores, unit_axis, 0)
    kept = _largest_of_rows(units.reshape(units.shape[0], -1), count)
    return jnp.moveaxis(kept.reshape(units.shape), 0, unit_axis)


def n_of_m(scores: jax.Array, n: Any, m: int, axis: int = -2) -> jax.Array:
    """Where the n largest of every m neighbouring scores are.

    Args:
      scores: real numbers; `axis` has a multiple of `m` of them.
      n: how many, an integer that may be traced.
      m: of how many.
      axis: along which neighbours lie.

    Returns:
      A mask of the shape of `scores`.

    Raises:
      ValueError: the length of the axis is no multiple of `m`.
    """
    if scores.shape[axis] % m:
        raise ValueError(
            f"an array of shape {scores.shape} has {scores.shape[axis]} numbers along axis "
            f"{axis}, which is no multiple of {m}"
        )
    if not scores.size:
        return jnp.zeros(scores.shape, bool)
    last = jnp.moveaxis(scores, axis, -1)
    kept = _largest_of_rows(last.reshape(-1, m), n)
    return jnp.moveaxis(kept.reshape(last.shape), -1, axis)


def _largest_of_rows(rows: jax.Array, count: Any) -> jax.Array:
    return jax.vmap(largest, in_axes=(0, None))(rows, count)
