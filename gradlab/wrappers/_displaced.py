"""The gradient taken elsewhere than at the parameters: what sharpness-aware wrappers share.

A method says how it displaces the parameters (`ascent`) and what it makes of the gradients
here and there (`combined`). Evaluating, averaging over devices, schedules, what comes beside
the gradients, and the inner optimizer's step are `Displaced`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from gradlab import core
from gradlab.core import Params, Updates, static


class DisplacedState(NamedTuple):
    """State of a wrapper that takes gradients elsewhere than at the parameters.

    Attributes:
      count: calls of `update` so far.
      inner_state: that of the inner optimizer.
      memory: what the method carries from step to step; None for most.
      cache: the parameters before the ascent; None where one call does everything.
      aux: what `grad_fn` returned beside the gradients; None unless asked for.
    """

    count: Any
    inner_state: Any
    memory: Any
    cache: Any
    aux: Any


class Start(NamedTuple):
    """Where a step begins.

    Attributes:
      params: the parameters.
      own: the gradients there that the ascent follows.
      here: the gradients there that descend, averaged over devices.
      memory, aux: as in the state.
      count: steps so far.
      extra: the extra arguments of `update`.
    """

    params: Params
    own: Updates
    here: Updates
    memory: Any
    aux: Any
    count: jax.Array
    extra: dict[str, Any]


class Found(NamedTuple):
    """What a step found: gradients to descend with, the method's new memory, and aux."""

    gradients: Any
    memory: Any
    aux: Any


Evaluate = Callable[[Params, Any], tuple[Updates, Any]]
"""Gradients at a place and the aux to keep, from the place and the aux kept so far."""


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

    return jax.tree.map(leaf, params, moves, is_leaf=core.is_none)


def along(rule: Any, gradients: Updates) -> Updates:
    """A step of length `rule.rho` along the gradients; none where all of them are zero."""
    size = core.global_norm(gradients)

    def leaf(h: Any, g: jax.Array) -> jax.Array:
        return h.rho * core.divide(g, size.astype(g.real.dtype))

    (moves,) = rule.each(leaf, gradients)
    return moves


def _shapes(tree: Any) -> Any:
    def leaf(x: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(jnp.shape(x), jnp.result_type(x))

    return core.freeze(jax.tree.map(leaf, core.thaw(tree)))


class Displaced(core.Wrapper):
    """An optimizer that descends with gradients from elsewhere."""

    axis_name: Any = static()
    local_ascent: bool = static(convert=core.flag)
    has_aux: bool = static(convert=core.flag)
    aux_like: Any = static(convert=_shapes)
    aux_from: str = static(convert=core.one_of("first", "last"))

    def remembered(self, params: Params) -> Any:
        """The method's memory before the first step."""
        del params

    def ascent(self, start: Start) -> tuple[Updates, Any]:
        """Where the gradient is taken, as moves of the parameters, and the new memory."""
        raise NotImplementedError(f"{type(self).__name__} has to define ascent")

    def combined(self, here: Updates, there: Updates) -> Any:
        """What the inner optimizer is handed."""
        del here
        return there

    def descent(self, start: Start, evaluate: Evaluate) -> Found:
        """All that comes before the inner optimizer's step."""
        moves, memory = self.ascent(start)
        there, aux = evaluate(moved(start.params, moves), start.aux)
        return Found(self.combined(start.here, there), memory, aux)

    def descend(
        self, gradients: Any, inner_state: Any, params: Params, **extra: Any
    ) -> tuple[Updates, Any]:
        """The inner optimizer's step."""
        return self.inner.rule.update(gradients, inner_state, params, **extra)

    def init(self, params: Params) -> DisplacedState:
        aux = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), core.thaw(self.aux_like))
        inner_state = self.inner.rule.init(params)
        return DisplacedState(core.step_count(), inner_state, self.remembered(params), None, aux)

    def update(
        self,
        updates: Updates,
        state: Any,
        params: Params | None = None,
        *,
        grad_fn: Any = None,
        **extra: Any,
    ) -> tuple[Updates, DisplacedState]:
        params = self.needed(params)
        own, aux = self.at_the_parameters(updates, state.aux, params, grad_fn)

        def evaluate(place: Params, aux: Any) -> tuple[Updates, Any]:
            there, aux = self.evaluated(grad_fn, place, aux, self.aux_from == "last")
            return self.averaged(there), aux

        here = self.averaged(own)
        own = own if self.local_ascent else here
        start = Start(params, own, here, state.memory, aux, state.count, extra)
        now = self.scheduled(state.count)
        gradients, memory, aux = now.descent(start, evaluate)
        updates, inner_state = now.descend(
            gradients,
            state.inner_state,
            params,
            grad_fn=lambda place: evaluate(place, aux)[0],
            **extra,
        )
        count = optax.safe_increment(state.count)
        return updates, DisplacedState(count, inner_state, memory, None, aux)

    def at_the_parameters(
        self, updates: Updates, aux: Any, params: Params, grad_fn: Any
    ) -> tuple[Updates, Any]:
        """The gradients there, which the caller may have taken, and the aux to keep."""
        if updates is None:
            return self.evaluated(grad_fn, params, aux, True)
        if self.has_aux and self.aux_from == "first":
            raise ValueError(
                f"{self.owner()}: with aux_from='first' it takes the gradient at the parameters "
                "itself: call update with None in the place of the gradients"
            )
        return updates, aux

    def evaluated(self, grad_fn: Any, place: Params, aux: Any, wanted: bool) -> tuple[Updates, Any]:
        """The gradients at a place; what comes beside them where it is wanted, else `aux`."""
        if not self.has_aux:
            return grad_fn(place), aux
        gradients, found = grad_fn(place)
        return gradients, self.kept(found) if wanted else aux

    def kept(self, aux: Any) -> Any:
        """What of `aux` the state holds."""
        like = core.thaw(self.aux_like)
        if like is None:
            return None
        if jax.tree.structure(aux) != jax.tree.structure(like):
            raise ValueError(
                f"{self.owner()}: grad_fn returned {jax.tree.structure(aux)} beside the "
                f"gradients; aux_like has {jax.tree.structure(like)}"
            )
        return jax.tree.map(lambda x, s: jnp.asarray(x, s.dtype).reshape(s.shape), aux, like)

    def averaged(self, gradients: Updates) -> Updates:
        """The mean over the devices of the named axis; the gradients themselves without."""
        if self.axis_name is None:
            return gradients
        return lax.pmean(gradients, self.axis_name)

    def scheduled(self, count: Any) -> Any:
        """The rule with its own schedules evaluated."""
        own = {name: getattr(self, name) for name in self.hyper_names if name != "inner"}
        return self.with_values(**{name: core.at(value, count) for name, value in own.items()})

    def required(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(("grad_fn", *self.needs, *self.inner.rule.required())))

    def schedule_counts(self, state: Any) -> dict[str, Any]:
        return dict.fromkeys(self.hyper_names, state.count)
