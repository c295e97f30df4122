"""What the modes for parameters of 16 bits share.

A step of less than half the distance between two neighbouring bfloat16 numbers is lost when
it is added. Each mode says where a narrow parameter lands instead, and what it keeps for
the next step.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import Params, Updates


def is_narrow(x: Any) -> bool:
    """Whether an array is float16 or bfloat16."""
    return jnp.result_type(x) in (jnp.float16, jnp.bfloat16)


class ParameterMode(core.Wrapper):
    """Lets narrow parameters land where the mode says; all others move as `inner` says.

    The inner optimizer sees narrow parameters in float32, so that its state is float32 and
    its steps are not rounded before they are added.

    The float32 sum of a narrow parameter and its update is exactly the value chosen. Either
    their difference has at most 24 significant bits; or the parameter is so much the larger
    one that the step before the rounding cancelled most bits, and what they left is
    representable; or it is so much the smaller one that the sum rounds to the value.
    """

    wide_updates = True
    settles = True

    def check_composition(self) -> None:
        if self.inner.rule.shows_wide_updates():
            raise ValueError(
                f"{self.owner()}: inner={self.inner.rule.owner()}(…) is, or has in it, a mode for "
                "narrow parameters already; they have one mode"
            )

    def memory(self, p: jax.Array) -> Any:
        """What is kept for a narrow parameter: an array, or None."""
        del p
        return None

    def seen(self, p: jax.Array, memory: Any, dtype: Any) -> jax.Array:
        """A narrow parameter as the inner optimizer sees it; arguments as for `land`."""
        del memory, dtype
        return p

    def land(self, p: jax.Array, u: jax.Array, memory: Any, dtype: Any) -> tuple[jax.Array, Any]:
        """Where a narrow parameter lands after a step, and what is kept.

        Args:
          p: the parameter, in float32.
          u: the step, in float32.
          memory: what was kept.
          dtype: that of the parameter.

        Returns:
          A value that `dtype` holds, in float32, and the new memory.
        """
        raise NotImplementedError(f"{type(self).__name__} has to define land")

    def memories(self, params: Params) -> Any:
        """What is kept for each narrow parameter; None for all others."""
        return jax.tree.map(lambda p: self.memory(p) if is_narrow(p) else None, params)

    def widened(self, params: Params, memories: Any) -> Params:
        """The parameters as the inner optimizer sees them."""

        def leaf(p: Any, memory: Any) -> Any:
            if not is_narrow(p):
                return p
            return self.seen(jnp.asarray(p, jnp.float32), memory, jnp.result_type(p))

        leaves, treedef = jax.tree.flatten(params)
        kept = core.flatten_like(treedef, memories, "params", "state")
        return treedef.unflatten(map(leaf, leaves, kept))

    def landed(
        self, updates: Updates, state: Any, params: Params | None, memories: Any, **extra: Any
    ) -> tuple[Updates, Any, Any]:
        """A step of the inner optimizer: updates, its new state, and the new memories."""
        params = self.needed(params)
        wide = self.widened(params, memories)
        updates, inner_state = self.inner.rule.update(updates, state.inner_state, wide, **extra)

        def leaf(p: Any, u: Any, memory: Any) -> tuple:
            if u is None or not is_narrow(p):
                return u, memory
            narrow, p = jnp.result_type(p), jnp.asarray(p, jnp.float32)
            value, memory = self.land(p, jnp.asarray(u, jnp.float32), memory, narrow)
            return value - p, memory

        leaves, treedef = jax.tree.flatten(params)
        moves = core.flatten_like(treedef, updates, "params", "updates")
        kept = core.flatten_like(treedef, memories, "params", "state")
        rows = [leaf(*row) for row in zip(leaves, moves, kept, strict=True)]
        updates, memories = (treedef.unflatten([row[i] for row in rows]) for i in (0, 1))
        return updates, inner_state, memories
