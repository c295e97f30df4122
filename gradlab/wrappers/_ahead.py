"""Training loops whose parameters are displaced: a gradient from elsewhere at no cost.

Where the displacement needs no gradient of its own, the parameters that the caller holds
can be the displaced ones: each gradient is then taken at the right place, once a step. The
wrapper knows how far they are off and lets the inner optimizer step from where they belong.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import optax

from gradlab import core
from gradlab.core import Params, Updates
from gradlab.wrappers._displaced import moved


class AheadState(NamedTuple):
    """State of a wrapper whose caller holds displaced parameters.

    Attributes:
      count: steps so far.
      inner_state: that of the inner optimizer.
      moves: how far the parameters are displaced.
    """

    count: Any
    inner_state: Any
    moves: Any


class Ahead(core.Wrapper):
    """An optimizer whose parameters are held displaced, by something of its last update."""

    settles = True
    keeps_updates = False

    def displacement(self, updates: Updates) -> Updates:
        """How far the parameters are to be displaced after these updates."""
        raise NotImplementedError(f"{type(self).__name__} has to define displacement")

    def init(self, params: Params) -> AheadState:
        return AheadState(
            core.step_count(), self.inner.rule.init(params), core.moments_like(params)
        )

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, AheadState]:
        if params is not None:
            params = moved(params, jax.tree.map(lambda m: -m, state.moves))
        updates, inner_state = self.inner.rule.update(updates, state.inner_state, params, **extra)
        own = {name: getattr(self, name) for name in self.hyper_names if name != "inner"}
        now = self.with_values(**{name: core.at(x, state.count) for name, x in own.items()})

        def leaf(h: Any, u: jax.Array, old: jax.Array, new: jax.Array) -> tuple:
            return u + (new - old), new

        # With no displacement before and after, the update is the inner one to the bit.
        new = now.displacement(updates)
        updates, moves = self.each(leaf, updates, state.moves, reads=(new,))
        return updates, AheadState(optax.safe_increment(state.count), inner_state, moves)

    def eval_params(self, state: Any, params: Params) -> Params:
        there = moved(params, jax.tree.map(lambda m: -m, state.moves))
        return self.inner.rule.eval_params(state.inner_state, there)

    def schedule_counts(self, state: Any) -> dict[str, Any]:
        return dict.fromkeys(self.hyper_names, state.count)
