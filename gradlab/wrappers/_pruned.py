"""What wrappers that prune weights share: masks in the state, and weights that stay zero."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import Mask, Params, Updates, static
from gradlab.linalg import largest, largest_together, portion


class Pruned(core.Wrapper):
    """A wrapper that keeps weights for which the mask in its state is False at exactly zero.

    The inner optimizer sees no gradient of them. An array that is never pruned has one True.
    """

    settles = True
    keeps_updates = False

    mask: Mask = static(default=None)

    def dense(self, params: Params) -> Any:
        """Masks with nothing pruned, placed like the parameters."""

        def leaf(p: Any, weights: bool) -> jax.Array:
            return jnp.full_like(p, True, dtype=bool) if weights else jnp.ones([], bool)

        return jax.tree.map(leaf, params, core.weight_arrays(self.mask, params))

    def only_kept(self, updates: Updates, kept: Any) -> Updates:
        """Gradients without those of pruned weights."""

        def leaf(h: Any, g: jax.Array, keep: jax.Array) -> jax.Array:
            return jnp.where(keep != 0, g, jnp.zeros_like(g))

        return self.each(leaf, updates, reads=(kept,))[0]

    def to_zero(self, updates: Updates, kept: Any, params: Params) -> Updates:
        """Updates that bring pruned weights to exactly zero."""

        def leaf(h: Any, u: jax.Array, keep: jax.Array, p: jax.Array) -> jax.Array:
            return jnp.where(keep != 0, u, -p)

        return self.each(leaf, updates, reads=(kept, params))[0]

    def keep_largest(self, sizes: Any, kept: Any, share: Any, of_kept: bool = False) -> Any:
        """Masks of the largest weights of all arrays together.

        Args:
          sizes: of the weights, a tree like the parameters.
          kept: the masks so far. What they prune comes after everything that they keep.
          share: how many of the weights are kept.
          of_kept: whether it is a share of those kept so far, not of all.

        Returns:
          The new masks.
        """
        leaves, treedef = jax.tree.flatten(sizes, is_leaf=core.is_none)
        masks = treedef.flatten_up_to(kept)
        places = [i for i, x in enumerate(leaves) if x is not None and masks[i].ndim]
        scores = [jnp.where(masks[i], leaves[i], -1) for i in places]
        total: Any = sum(x.size for x in scores)
        if of_kept:
            total = sum((jnp.sum(masks[i]) for i in places), jnp.zeros([], jnp.int32))
        for i, new in zip(places, largest_together(scores, portion(share, total)), strict=True):
            masks[i] = jnp.where(jnp.zeros_like(masks[i]), False, new)  # placed as it was
        return treedef.unflatten(masks)

    def exchange(self, rate: Any, sizes: Any, gradients: Updates, kept: Any) -> Any:
        """Masks with a share of each array's kept weights exchanged, if there are others.

        The smallest ones go, those that are not kept and have the largest gradients come.
        """

        def leaf(size: Any, g: Any, mask: Any) -> Any:
            if size is None or mask.ndim == 0:
                return mask
            held: Any = jnp.sum(mask)
            moved = jnp.minimum(portion(rate, held), mask.size - held)
            survivors = largest(jnp.where(mask, size, -1), held - moved)
            return survivors | largest(jnp.where(survivors, -1, core.absolute(g)), moved)

        return jax.tree.map(leaf, sizes, gradients, kept, is_leaf=core.is_none)

    def sizes_after(self, updates: Updates, params: Params) -> Any:
        """How large the weights are after a step."""
        return self.each(lambda h, u, p: core.absolute(p + u), updates, reads=(params,))[0]
