"""Trees cut into blocks."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Blocks(NamedTuple):
    """How a tree is cut: the rows of an array, or the children of a tree."""

    rows: bool
    count: int
    treedef: Any

    @classmethod
    def of(cls, owner: str, x: Any) -> Blocks:
        parts, treedef = jax.tree.flatten(x, is_leaf=lambda node: node is not x)
        if not jax.tree_util.all_leaves([x]):
            return cls(False, len(parts), treedef)
        if not jnp.ndim(x) or not len(x):
            raise ValueError(f"{owner}: init of shape {jnp.shape(x)} has no rows to be its blocks")
        return cls(True, len(x), treedef)

    def parts(self, x: Any) -> list[Any]:
        """All blocks."""
        return list(x) if self.rows else self.treedef.flatten_up_to(x)

    def whole(self, parts: list[Any]) -> Any:
        """The tree of these blocks."""
        return jnp.stack(parts) if self.rows else self.treedef.unflatten(parts)

    def put(self, x: Any, index: Any, block: Any) -> Any:
        """The tree with one block changed."""
        if self.rows:
            return x.at[index].set(block)
        parts = self.parts(x)
        return self.treedef.unflatten([*parts[:index], block, *parts[index + 1 :]])
