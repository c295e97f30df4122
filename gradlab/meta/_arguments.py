"""Checks of what the functions of this room are called with."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core


def checked_count(owner: str, name: str, value: Any, low: int = 1) -> int:
    """An integer of at least `low`.

    Raises:
      TypeError: it is none; the message names the argument.
      ValueError: it is less.
    """
    try:
        return core.count_at_least(low)(value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{owner}: {name}: {error}") from None


def leading_axis(owner: str, name: str, tree: Any, expected: int | None, counted: str) -> int:
    """The length of the leading axis of every array in a tree.

    Args:
      owner: the function that was given the tree, for messages.
      name: the argument's name.
      tree: the arrays.
      expected: the length that it has to have; None: any that all arrays share.
      counted: what is counted along the axis.

    Raises:
      ValueError: an array has no such axis, or one of another length; the message names its path.
    """
    said_by = counted
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        where, shape = f"{name}{jax.tree_util.keystr(path)}", jnp.shape(leaf)
        if not shape:
            raise ValueError(f"{owner}: {where} is a scalar; it needs a leading axis of {counted}")
        if expected is not None and shape[0] != expected:
            raise ValueError(
                f"{owner}: {where} has {shape[0]} entries on its leading axis, "
                f"where {said_by} says {expected}"
            )
        if expected is None:
            expected, said_by = shape[0], where
    if expected is None:
        raise ValueError(f"{owner}: without {name}, {counted} has to say how many there are")
    if expected < 1:
        raise ValueError(f"{owner}: {said_by} says 0 {counted}; it has to be at least one")
    return expected
