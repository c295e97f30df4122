"""Going uphill before an optimizer steps: within one call of `update`, or over several."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradlab.core import Params, Rule, Updates


def moved(params: Params, moves: Updates) -> Params:
    """The parameters plus the moves, in the dtypes of the parameters.

    Args:
      params: the parameters.
      moves: a tree like it; None where nothing moves.
    """

    def leaf(p: Any, m: Any) -> Any:
        if p is None or m is None:
            return p
        p = jnp.asarray(p)
        return (p + m).astype(p.dtype)

    return jax.tree.map(leaf, params, moves, is_leaf=lambda x: x is None)


def within_one_call(
    updates: Updates,
    params: Params,
    ascend: Callable[[Updates, Params, int], Updates],
    gradient: Callable[[Params, int], Updates],
    ascents: int,
) -> Updates:
    """The gradients at the place that some ascents lead to.

    Args:
      updates: the gradients at `params`.
      params: where the ascent begins.
      ascend: moves uphill, from the gradients at a place, the place, and the number of
        ascents already made.
      gradient: the gradients at a place, given how many ascents led there, less one.
      ascents: how many there are.
    """
    place = params
    for index in range(ascents):
        place = moved(place, ascend(updates, place, index))
        updates = gradient(place, index)
    return updates


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

    # A rule may store what it computed in; both branches have to agree.
    _, like = jax.eval_shape(up)

    def stored(branch: Callable[[], tuple[Updates, Any]]) -> Callable[[], tuple[Updates, Any]]:
        def run() -> tuple[Updates, Any]:
            updates, states = branch()
            return updates, jax.tree.map(lambda x, s: jnp.asarray(x, s.dtype), states, like)

        return run

    updates, states = lax.cond(count % period == period - 1, stored(down), stored(up))
    return updates, states, cache


def copies(params: Params) -> Params:
    """The parameters in buffers of their own."""
    return jax.tree.map(jnp.array, params)
