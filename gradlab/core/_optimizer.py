"""A direction made into an optimizer: decoupled weight decay, then the learning rate."""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np
import optax

from gradlab.core import _tree
from gradlab.core._fields import hyper, static, thaw
from gradlab.core._order import written_after_params
from gradlab.core._rule import Rule
from gradlab.core._schedule import Schedule, at
from gradlab.core._types import Mask, Params, ScalarOrSchedule, Updates


@functools.cache
def weight_decay_schedule() -> Any:
    """The type of state that optax gives a scheduled weight decay; it has no public name."""
    scheduled = optax.add_decayed_weights(lambda count: count)
    return type(jax.eval_shape(scheduled.init, ()))


class Optimizer(Rule):
    """Mixin that turns the direction of another rule into a complete update.

    `class Adam(Optimizer, ScaleByAdam)` is Adam: the direction u of `ScaleByAdam`, then
    `-learning_rate * (u + weight_decay * params)`.

    The state is a tuple as optax's chains have it: the direction's state, the weight
    decay's if there is one, the learning rate's.
    """

    learning_rate: ScalarOrSchedule = hyper("[0, inf)")
    weight_decay: ScalarOrSchedule | None = hyper("[0, inf)", default=None)
    mask: Mask = static(default=None)

    def init(self, params: Params) -> tuple:
        return (super().init(params), *self.init_scaling(params))

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, Any]:
        direction, *scaling = state
        updates, direction = super().update(updates, direction, params, **extra)
        updates, scaling = self.scale(updates, tuple(scaling), params)
        return updates, (direction, *scaling)

    def in_order(self, state: Any, updates: Updates, params: Params | None) -> Any:
        direction, *scaling = state
        return (written_after_params(direction, self.written_last, updates, params), *scaling)

    def init_scaling(self, params: Params) -> tuple:
        """The state of weight decay and learning rate."""
        rate = _schedule_state(self.learning_rate, optax.ScaleByScheduleState)
        if self.weight_decay is None:
            return (rate,)
        decay = _schedule_state(self.weight_decay, weight_decay_schedule())
        if self.mask is not None:
            decay_mask(self.mask, params)
            decay = optax.MaskedState(inner_state=decay)
        return decay, rate

    def scale(self, updates: Updates, state: tuple, params: Params | None) -> tuple[Updates, tuple]:
        """Adds the decayed weights and multiplies by minus the learning rate."""
        *decay_state, rate_state = state
        if decay_state:
            updates = self._decay(updates, decay_state[0], params)
            decay_state = [_advance(decay_state[0])]
        rate = at(self.learning_rate, _count(rate_state))
        rule = self.with_values(learning_rate=rate)
        (updates,) = rule.each(lambda h, u: -h.learning_rate * u, updates)
        return updates, (*decay_state, _advance(rate_state))

    def schedule_counts(self, state: Any) -> dict[str, Any]:
        counts = super().schedule_counts(state[0]) | {"learning_rate": _count(state[-1])}
        return counts | ({} if self.weight_decay is None else {"weight_decay": _count(state[-2])})

    def _decay(self, updates: Updates, state: Any, params: Params | None) -> Updates:
        weight_decay = at(self.weight_decay, _count(state))
        if isinstance(weight_decay, float) and weight_decay == 0.0:
            return updates
        if params is None:
            raise ValueError(
                f"{self.owner()}: weight_decay needs the parameters: "
                "opt.update(grads, state, params)"
            )
        rule = self.with_values(weight_decay=weight_decay)
        (decayed,) = rule.each(lambda h, u, p: u + h.weight_decay * p, updates, reads=(params,))
        if self.mask is None:
            return decayed
        chosen = decay_mask(self.mask, params)
        return jax.tree.map(lambda keep, d, u: d if keep else u, chosen, decayed, updates)


def decay_mask(mask: Mask, params: Params) -> Any:
    """The mask as a tree of bools, one for each parameter array.

    Raises:
      ValueError: the mask does not fit the parameters (the message names the path), or
        it selects none of them.
    """
    mask = thaw(mask)
    tree = mask(params) if callable(mask) else mask
    try:
        chosen = jax.tree.broadcast(tree, params)
    except ValueError:
        paths = [p for p, _ in jax.tree_util.tree_leaves_with_path(tree)]
        known = [p for p, _ in jax.tree_util.tree_leaves_with_path(params)]
        lost = [p for p in paths if not any(k[: len(p)] == p for k in known)]
        shown = ", ".join(map(jax.tree_util.keystr, lost or paths))
        raise ValueError(f"mask: no parameter at {shown}") from None
    if jax.tree.leaves(chosen) and not any(jax.tree.leaves(chosen)):
        known = [jax.tree_util.keystr(p) for p, _ in jax.tree_util.tree_leaves_with_path(params)]
        raise ValueError(f"mask: selects none of the parameters {', '.join(known)}")
    return chosen


def weight_arrays(mask: Mask, params: Params) -> Any:
    """Which arrays hold weights, as a tree of bools: what a method for layers acts on.

    Args:
      mask: what a user chose, as for `decay_mask`. None: arrays of two or more dimensions.
      params: the parameters.

    Raises:
      ValueError: the mask does not fit the parameters, or selects none of them.
    """
    if mask is None:
        return jax.tree.map(lambda p: np.ndim(p) > 1, params)
    return decay_mask(mask, params)


def _schedule_state(value: Any, state_type: Any) -> Any:
    if isinstance(value, Schedule):
        return state_type(count=_tree.step_count())
    return optax.EmptyState()


def _count(state: Any) -> Any:
    inner = state.inner_state if isinstance(state, optax.MaskedState) else state
    return None if isinstance(inner, optax.EmptyState) else inner.count


def _advance(state: Any) -> Any:
    """The state of a schedule after one more step."""
    if isinstance(state, optax.MaskedState):
        return optax.MaskedState(inner_state=_advance(state.inner_state))
    if isinstance(state, optax.EmptyState):
        return state
    return state._replace(count=optax.safe_increment(state.count))
