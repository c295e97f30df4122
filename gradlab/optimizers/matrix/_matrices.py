"""Which parameters a matrix method takes, and how it reads each as a stack of matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import keystr
from optax.contrib import MuonDimensionNumbers

from gradlab import core
from gradlab.core import thaw

TWO_AXES = MuonDimensionNumbers(reduction_axis=0, output_axis=1)


class Layout(NamedTuple):
    """How an array is read as a stack of matrices that map inputs to outputs.

    Attributes:
      shape: the array's shape.
      order: its axes in the order batch, reduction, output.
      stack: the shape `(batch, fan_in, fan_out)`.
    """

    shape: tuple[int, ...]
    order: tuple[int, ...]
    stack: tuple[int, int, int]

    def matrices(self, x: jax.Array) -> jax.Array:
        """The array as a stack of matrices, none of them taller than wide."""
        stacked = x.transpose(self.order).reshape(self.stack)
        return jnp.swapaxes(stacked, 1, 2) if self.tall else stacked

    def restore(self, matrices: jax.Array) -> jax.Array:
        """The inverse of `matrices`."""
        stacked = jnp.swapaxes(matrices, 1, 2) if self.tall else matrices
        ordered = stacked.reshape([self.shape[axis] for axis in self.order])
        return ordered.transpose(sorted(range(len(self.order)), key=self.order.__getitem__))

    @property
    def tall(self) -> bool:
        return self.stack[1] > self.stack[2]


def layout(path: str, shape: Sequence[int], spec: MuonDimensionNumbers) -> Layout:
    """The layout of one array.

    Raises:
      ValueError: fewer than two axes, an axis that is not there, or one named twice.
    """
    shape = tuple(shape)
    if len(shape) < 2:
        raise ValueError(f"muon: the parameter at {path} has shape {shape}: it is no matrix")
    reduction, output = (_axes(path, axes, len(shape)) for axes in spec)
    named = reduction + output
    if len(set(named)) < len(named):
        raise ValueError(f"muon: at {path}, {spec} names an axis of shape {shape} twice")
    batch = tuple(axis for axis in range(len(shape)) if axis not in named)
    count, inputs, outputs = (
        math.prod(shape[axis] for axis in axes) for axes in (batch, reduction, output)
    )
    return Layout(shape, batch + named, (count, inputs, outputs))


def _axes(path: str, axes: Any, ndim: int) -> tuple[int, ...]:
    axes = (axes,) if isinstance(axes, int) else tuple(axes)
    for axis in axes:
        if not -ndim <= axis < ndim:
            raise ValueError(f"muon: at {path} there is no axis {axis} of {ndim}")
    return tuple(axis % ndim for axis in axes)


def specifications(spec: Any, tree: Any) -> list[MuonDimensionNumbers | None]:
    """The dimension numbers of each leaf; None for a leaf that is no matrix.

    Args:
      spec: a tree of dimension numbers and None, or a prefix of one, or a function that
        makes it from `tree`.
      tree: parameters, or gradients, whose None and masked leaves count as leaves.

    Raises:
      ValueError: the trees differ in structure, or nothing is specified for no leaf.
    """

    def cut(x: Any) -> bool:
        return core.is_absent(x) or isinstance(x, MuonDimensionNumbers)

    spec = thaw(spec)
    spec = spec(tree) if callable(spec) else spec
    leaves, treedef = jax.tree.flatten(spec, is_leaf=cut)
    try:
        subtrees = treedef.flatten_up_to(tree)
    except (ValueError, TypeError, KeyError):
        paths = [keystr(p) for p, _ in jax.tree_util.tree_leaves_with_path(spec, is_leaf=cut)]
        raise ValueError(
            f"muon: the dimension numbers at {', '.join(paths)} do not fit the parameters at "
            f"{', '.join(core.leaf_names(tree))}"
        ) from None
    found = []
    for leaf, subtree in zip(leaves, subtrees, strict=True):
        if not cut(leaf):
            raise TypeError(f"muon: expected MuonDimensionNumbers or None, got {leaf!r}")
        chosen = None if core.is_absent(leaf) else leaf
        found += [chosen] * len(jax.tree.leaves(subtree, is_leaf=core.is_absent))
    return found


def two_dimensional(tree: Any) -> Any:
    """The default: every array with two axes is a matrix."""
    return jax.tree.map(lambda x: TWO_AXES if jnp.ndim(x) == 2 else None, tree)


def groups(specs: Sequence[Any], tree: Any) -> core.Groups:
    """The leaves with dimension numbers, group True, and the others, group False."""
    leaves = jax.tree.leaves(tree, is_leaf=core.is_absent)
    pairs = zip(specs, leaves, strict=True)
    owners = [None if core.is_absent(leaf) else spec is not None for spec, leaf in pairs]
    return core.Groups.of_leaves(tree, owners)
