"""Trees of arrays kept as one vector for each dtype."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gradlab import core


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where each array of a tree lies.

    Attributes:
      treedef: of the tree.
      dtypes: the name of each array's dtype, in the order of the leaves.
      shapes: the shape of each array.
    """

    treedef: Any
    dtypes: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, tree: Any) -> Layout:
        leaves, treedef = jax.tree.flatten(tree)
        dtypes = tuple(jnp.result_type(x).name for x in leaves)
        return cls(treedef, dtypes, tuple(map(np.shape, leaves)))

    def join(self, leaves: list) -> dict[str, jax.Array]:
        """Arrays in this order as vectors: one for each dtype that this layout has."""
        return {
            dtype: jnp.concatenate([jnp.ravel(leaves[i]) for i in places])
            for dtype, places in self.places.items()
        }

    def split(self, vectors: dict[str, jax.Array]) -> Any:
        """The tree of arrays that vectors consist of."""
        leaves: list[Any] = [None] * len(self.shapes)
        for dtype, places in self.places.items():
            # One operation for all parts, whose derivative is one concatenation.
            sizes = [math.prod(self.shapes[i]) for i in places]
            for i, part in zip(places, lax.split(vectors[dtype], sizes), strict=True):
                leaves[i] = part.reshape(self.shapes[i])
        return self.treedef.unflatten(leaves)

    @property
    def paths(self) -> list[str]:
        """The path of each array, for messages."""
        tree = self.treedef.unflatten(range(len(self.shapes)))
        leaves = jax.tree_util.tree_leaves_with_path(tree)
        return [jax.tree_util.keystr(path) or "the root" for path, _ in leaves]

    @functools.cached_property
    def places(self) -> dict[str, list[int]]:
        """The numbers of the leaves of each dtype."""
        names = dict.fromkeys(self.dtypes)
        return {name: [i for i, d in enumerate(self.dtypes) if d == name] for name in names}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FlatParams:
    """Parameters, gradients or updates, kept as one vector for each dtype.

    It is a pytree with these few vectors as leaves, so that a step of an optimizer is a few
    operations, however many arrays there are.

    Attributes:
      vectors: dtype to vector.
      layout: where each array lies.
    """

    vectors: dict[str, jax.Array]
    layout: Layout = dataclasses.field(metadata={"static": True})

    def tree(self) -> Any:
        """The arrays as the tree that they were; its gradient is that of the vectors."""
        return self.layout.split(self.vectors)


def flatten_params(params: Any) -> FlatParams:
    """Copies a tree of arrays into one vector for each dtype.

    Args:
      params: any tree of arrays.

    Returns:
      The vectors, which know the tree: `flat.tree()` is what the loss takes.

    Example:
      >>> import gradlab as gl, jax, jax.numpy as jnp
      >>> params = gl.flatten_params({"w": jnp.ones((2, 2)), "b": jnp.zeros(2)})
      >>> gradients = jax.grad(lambda p: jnp.sum(p.tree()["w"] ** 2))(params)
      >>> gradients.vectors["float32"].tolist()
      [0.0, 0.0, 2.0, 2.0, 2.0, 2.0]
    """
    layout = Layout.of(params)
    return FlatParams(layout.join(jax.tree.leaves(params)), layout)


def layout_of(params: Any) -> Layout:
    """Where each array of parameters lies, or would lie if they were flat."""
    return params.layout if isinstance(params, FlatParams) else Layout.of(params)


def joined(tree: Any, layout: Layout) -> dict[str, jax.Array]:
    """The vectors of a tree, flat or not.

    Raises:
      ValueError: an array of the layout is missing; the message names its path.
    """
    if isinstance(tree, FlatParams):
        return tree.vectors
    leaves = core.flatten_like(layout.treedef, tree, "params", "updates")
    if any(leaf is None for leaf in leaves):
        missing = [path for path, x in zip(layout.paths, leaves, strict=True) if x is None]
        raise ValueError(f"flat: there is no gradient at {missing[0]}")
    return layout.join(leaves)
