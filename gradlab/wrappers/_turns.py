"""Calls of `update` that take turns: all but the last ascend, the last one descends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from gradlab import core
from gradlab.core import Params, Rule, ScalarOrSchedule, Updates, hyper, static
from gradlab.wrappers._displaced import Displaced, DisplacedState, Start


def over_several_calls(
    rule: Rule,
    count: jax.Array,
    period: int,
    ascend: Callable[[], tuple[Updates, Any]],
    descend: Callable[[Params], tuple[Updates, Any]],
    params: Params,
    cache: Params,
) -> tuple[Updates, Any, Params]:
    """One call of a cycle whose last call descends from where its first one began.

    Args:
      rule: the rule whose per-array form of arithmetic is used.
      count: how many calls there were before.
      period: calls in a cycle, all but the last of which ascend.
      ascend: the moves of an ascent, and the new states.
      descend: the updates of a descent from given parameters, and the new states, of the
        same structure.
      params: the parameters now, uphill but for the first call.
      cache: the parameters at the first call.

    Returns:
      The updates, the new states in their old dtypes, and the new cache.
    """
    cache = jax.tree.map(lambda p, c: jnp.where(count % period == 0, p, c), params, cache)

    def up() -> tuple[Updates, Any]:
        moves, states = ascend()
        (moves,) = rule.each(lambda h, m, p: m, moves, reads=(params,))
        return moves, states

    def down() -> tuple[Updates, Any]:
        steps, states = descend(cache)
        (back,) = rule.each(lambda h, u, c, p: c - p + u, steps, reads=(cache, params))
        return back, states

    updates, states = either(count % period != period - 1, up, down)
    return updates, states, cache


def either(condition: jax.Array, then: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
    """A conditional whose branches agree in dtypes: those of the first."""
    like = jax.eval_shape(then)

    def stored(branch: Callable[[], Any]) -> Callable[[], Any]:
        return lambda: jax.tree.map(lambda x, s: jnp.asarray(x, s.dtype), branch(), like)

    return lax.cond(condition, stored(then), stored(otherwise))


def copies(params: Params) -> Params:
    """The parameters in buffers of their own."""
    return jax.tree.map(jnp.array, params)


def _period(value: Any) -> int | None:
    return None if value is None else core.count_at_least(1)(value)


class Ascending(Displaced):
    """A wrapper that goes uphill and descends with the gradients found there.

    As nothing else is needed for the descent, its two halves can also be two calls.
    """

    rho: ScalarOrSchedule = hyper("[0, inf)")
    sync_period: int | None = static(convert=_period)

    def init(self, params: Params) -> DisplacedState:
        state = super().init(params)
        return state if self.sync_period is None else state._replace(cache=copies(params))

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, DisplacedState]:
        if self.sync_period is None or params is None:
            return super().update(updates, state, params, **extra)
        here = self.averaged(updates)
        own = updates if self.local_ascent else here
        start = Start(params, own, here, state.memory, state.aux, state.count, extra)
        now = self.scheduled(state.count // self.sync_period)

        def ascend() -> tuple[Updates, Any]:
            moves, memory = now.ascent(start)
            return moves, (state.inner_state, memory)

        def descend(origin: Params) -> tuple[Updates, Any]:
            steps, inner_state = now.descend(here, state.inner_state, origin, **extra)
            return steps, (inner_state, state.memory)

        updates, (inner_state, memory), cache = over_several_calls(
            self, state.count, self.sync_period, ascend, descend, params, state.cache
        )
        count = optax.safe_increment(state.count)
        return updates, DisplacedState(count, inner_state, memory, cache, state.aux)

    def required(self) -> tuple[str, ...]:
        found = super().required()
        if self.sync_period is None:
            return found
        inner = self.inner.rule.required()
        return tuple(name for name in found if name != "grad_fn" or name in inner)

    def schedule_counts(self, state: Any) -> dict[str, Any]:
        return dict.fromkeys(self.hyper_names, state.count // (self.sync_period or 1))
