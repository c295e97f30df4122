"""Hyperparameters as single numbers: scalar leaves, and a few entries of each array.

A rule may hold arrays, the weights of a learned optimizer say. What the contract varies one by
one are then entries: the first, the last, and one in the middle of each array.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradlab import core


class Handle(NamedTuple):
    """A number that can be varied.

    Attributes:
      name: the path that `gradlab.replace` takes, for an entry with its position.
      path: the path of the leaf.
      leaf: the place of the leaf among all.
      entry: the position in an array; empty for a scalar.
      interval: where it may lie.
    """

    name: str
    path: str
    leaf: int
    entry: tuple[int, ...]
    interval: core.Interval


def handles(opt: Any) -> list[Handle]:
    """Every number that is varied."""
    ranges, found = core.intervals(opt), []
    for index, (path, leaf) in enumerate(core.hyperparameters(opt).items()):
        for entry in _entries(np.shape(leaf)):
            name = f"{path}[{', '.join(map(str, entry))}]" if entry else path
            found.append(Handle(name, path, index, entry, ranges[path]))
    return found


def _entries(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    if not shape:
        return [()]
    n = math.prod(shape)
    # Not the exact middle, which often lies on a diagonal or in a first column.
    places = sorted({0, (n * 4) // 7, n - 1}) if n else []
    return [tuple(int(i) for i in np.unravel_index(place, shape)) for place in places]


def pick(opt: Any, tree: Any) -> list[Any]:
    """The numbers at the handles of `opt`, of a tree like it (its gradient, say)."""
    leaves = jax.tree.leaves(tree)
    return [leaves[h.leaf][h.entry] if h.entry else leaves[h.leaf] for h in handles(opt)]


def values(opt: Any) -> list[float]:
    """The numbers at its handles."""
    return [float(x) for x in pick(opt, opt)]


def put(opt: Any, numbers: Sequence[Any]) -> Any:
    """The optimizer with other numbers at its handles; they may be traced."""
    leaves, treedef = jax.tree.flatten(opt)
    for handle, x in zip(handles(opt), numbers, strict=True):
        leaves[handle.leaf] = _with_entry(leaves[handle.leaf], handle.entry, x)
    return treedef.unflatten(leaves)


def _with_entry(leaf: Any, entry: tuple[int, ...], x: Any) -> Any:
    # As wide as numbers are now: a small step would be lost in what was made more narrow.
    return jnp.asarray(leaf, float).at[entry].set(x) if entry else x


def with_number(opt: Any, index: int, x: float) -> Any:
    """The optimizer with another number at its handle number `index`."""
    handle = handles(opt)[index]
    leaves, treedef = jax.tree.flatten(opt)
    leaves[handle.leaf] = _with_entry(leaves[handle.leaf], handle.entry, x)
    return treedef.unflatten(leaves)


def changed_leaf(opt: Any, handle: Handle, x: float) -> Any:
    """The whole leaf of a handle with another number: what `gradlab.replace` takes."""
    return _with_entry(jax.tree.leaves(opt)[handle.leaf], handle.entry, x)


def map_numbers(function: Callable[[Handle, float], float], opt: Any) -> list[float]:
    """Applies a function to every number, and gives the list of results."""
    return [function(h, x) for h, x in zip(handles(opt), values(opt), strict=True)]


def is_array(leaf: Any) -> bool:
    """Whether a leaf is an array with an axis."""
    return isinstance(leaf, jax.Array | np.ndarray) and leaf.ndim > 0
