"""Matrix work done once for each shape instead of once for each array."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradlab.core._fields import is_tracer


def batch_by_shape(fn: Callable[..., Any], *columns: Sequence[jax.Array]) -> list[Any]:
    """Applies a batched function to many arrays, in one call for each shape.

    Two hundred equal matrices cost a compiler two hundred times the work of one; in one
    stack they cost little more than one.

    Args:
      fn: maps one stack for each column, of shape `(n, ...)`, to a tree of arrays whose
        leading axis is `n`. It must treat the positions along that axis independently.
      *columns: arrays with a leading batch axis, the same number of them in each column.
        Arrays of equal trailing shape, dtype and placement are joined along that axis.

    Returns:
      What `fn` gives for each position of the columns, in their order. Arrays without
      elements are passed to `fn` one by one.
    """
    rows = list(zip(*columns, strict=True))
    groups: dict[Any, list[int]] = {}
    for index, row in enumerate(rows):
        joined = all(x.size for x in row)
        key = tuple(_kind(x) for x in row) if joined else index
        groups.setdefault(key, []).append(index)
    results: list[Any] = [None] * len(rows)
    for members in groups.values():
        parts = [rows[index] for index in members]
        for index, result in zip(members, _apply(fn, parts), strict=True):
            results[index] = result
    return results


def _kind(x: jax.Array) -> tuple:
    """What arrays have to share to be joined: trailing shape, dtype, and where they lie."""
    aval = jax.typeof(x)
    # Named axes of a mesh are part of the type where sharding is explicit or manual.
    spec = getattr(aval.sharding, "spec", None)
    manual = getattr(aval, "manual_axis_type", getattr(aval, "vma", None))
    devices = None if is_tracer(x) or not isinstance(x, jax.Array) else frozenset(x.devices())
    return x.shape[1:], x.dtype, spec and tuple(spec)[1:], manual, devices


def _apply(fn: Callable[..., Any], parts: list[tuple]) -> list[Any]:
    if len(parts) == 1:
        return [fn(*parts[0])]
    stacks = [jnp.concatenate(column) for column in zip(*parts, strict=True)]
    result = fn(*stacks)
    starts = [0]
    for row in parts:
        starts.append(starts[-1] + row[0].shape[0])
    return [jax.tree.map(lambda y, a=a, b=b: y[a:b], result) for a, b in itertools.pairwise(starts)]
