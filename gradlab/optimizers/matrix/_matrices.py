"""Which parameters a matrix method takes, and how it reads each as a stack of matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import keystr
from optax import MaskedNode
from optax.contrib import MuonDimensionNumbers

from gradlab.core import flatten_like, thaw

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


def is_leaf(x: Any) -> bool:
    """Whether a tree is cut here: no gradient, or no matrix."""
    return x is None or isinstance(x, MaskedNode)


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
        return is_leaf(x) or isinstance(x, MuonDimensionNumbers)

    spec = thaw(spec)
    spec = spec(tree) if callable(spec) else spec
    leaves, treedef = jax.tree.flatten(spec, is_leaf=cut)
    try:
        subtrees = treedef.flatten_up_to(tree)
    except (ValueError, TypeError, KeyError):
        paths = [keystr(p) for p, _ in jax.tree_util.tree_leaves_with_path(spec, is_leaf=cut)]
        raise ValueError(
            f"muon: the dimension numbers at {', '.join(paths)} do not fit the parameters at "
            f"{', '.join(paths_of(tree))}"
        ) from None
    found = []
    for leaf, subtree in zip(leaves, subtrees, strict=True):
        if not cut(leaf):
            raise TypeError(f"muon: expected MuonDimensionNumbers or None, got {leaf!r}")
        chosen = None if is_leaf(leaf) else leaf
        found += [chosen] * len(jax.tree.leaves(subtree, is_leaf=is_leaf))
    return found


def paths_of(tree: Any) -> list[str]:
    """The path of each leaf, for messages."""
    leaves = jax.tree_util.tree_leaves_with_path(tree, is_leaf=is_leaf)
    return [keystr(path) or "the root" for path, _ in leaves]


def two_dimensional(tree: Any) -> Any:
    """The default: every array with two axes is a matrix."""
    return jax.tree.map(lambda x: TWO_AXES if jnp.ndim(x) == 2 else None, tree)


def split(keep: Sequence[bool | None], like: Any, tree: Any) -> tuple[Any, Any]:
    """The leaves where `keep` is true and the others, each masked in the other's place.

    Where `keep` is None, there is no parameter, and both have the leaf as it is.

    Args:
      keep: one for each leaf of `like`.
      like: parameters, or gradients.
      tree: a tree of the same structure.

    Raises:
      ValueError: another structure; the message names the path.
    """
    treedef = jax.tree.structure(like, is_leaf=is_leaf)
    leaves = flatten_like(treedef, tree, "params", "updates")
    pairs = list(zip(keep, leaves, strict=True))
    ours = [MaskedNode() if k is False else x for k, x in pairs]
    theirs = [MaskedNode() if k is True else x for k, x in pairs]
    return treedef.unflatten(ours), treedef.unflatten(theirs)


def merge(keep: Sequence[bool | None], ours: Any, theirs: Any) -> Any:
    """The inverse of `split`."""
    leaves, treedef = jax.tree.flatten(ours, is_leaf=is_leaf)
    others = jax.tree.leaves(theirs, is_leaf=is_leaf)
    return treedef.unflatten([a if k else b for k, a, b in zip(keep, leaves, others, strict=True)])


def is_matrix(specs: Sequence[Any], tree: Any) -> list[bool | None]:
    """For each leaf whether it has dimension numbers; None where there is no parameter."""
    leaves = jax.tree.leaves(tree, is_leaf=is_leaf)
    pairs = zip(specs, leaves, strict=True)
    return [None if is_leaf(leaf) else spec is not None for spec, leaf in pairs]
