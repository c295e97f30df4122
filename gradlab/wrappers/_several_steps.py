"""Wrappers whose step is several steps of the inner optimizer, each with another gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradlab import core
from gradlab.core import Params, Updates
from gradlab.wrappers._displaced import moved

GradientAt = Callable[[Params, Any], Updates]
"""Gradients at a place, for the label of a step."""

AT_THE_START = ("value", "grad", "value_fn")
"""Extra arguments that say something of the first of the steps, or of another function."""


class SeveralSteps(core.Wrapper):
    """Lets the inner optimizer walk, and moves to where it arrived."""

    def walk(
        self,
        gradients: Updates,
        gradient_at: GradientAt,
        labels: jax.Array,
        inner_state: Any,
        params: Params,
        **extra: Any,
    ) -> tuple[Updates, Any]:
        """Steps of the inner optimizer, one after the other.

        Args:
          gradients: those of the first step, at the parameters.
          gradient_at: those of all steps after it, at where it is by then.
          labels: an array with a row for each step.
          inner_state: the inner optimizer's state.
          params: where it begins.
          **extra: what the inner optimizer is handed besides; its `grad_fn` is that of the
            step.

        Returns:
          How far it has come, in float32 or wider, and its state.
        """
        replaced = (*AT_THE_START, "grad_fn")
        extra = {name: value for name, value in extra.items() if name not in replaced}

        def step(carry: tuple, gradients: Updates, label: jax.Array) -> tuple:
            moves, state = carry
            steps, new = self.inner.rule.update(
                gradients,
                state,
                moved(params, moves),
                grad_fn=lambda place: gradient_at(place, label),
                **extra,
            )
            _, moves = self.each(lambda h, u, m: (u, m + u), steps, moves)
            return moves, jax.tree.map(lambda x, old: jnp.asarray(x, old.dtype), new, state)

        def later(carry: tuple, label: jax.Array) -> tuple[tuple, None]:
            return step(carry, gradient_at(moved(params, carry[0]), label), label), None

        carry = step((core.moments_like(params), inner_state), gradients, labels[0])
        if len(labels) > 1:
            carry, _ = lax.scan(later, carry, labels[1:])
        return carry

    def required(self) -> tuple[str, ...]:
        inner = self.inner.rule.required()
        for name in AT_THE_START:
            if name in inner:
                raise ValueError(
                    f"{self.owner()}: {self.inner!r} needs {name}, which is not known for the "
                    "steps that it takes here"
                )
        return tuple(dict.fromkeys((*self.needs, *(n for n in inner if n != "grad_fn"))))

    def schedule_counts(self, state: Any) -> dict[str, Any]:
        return dict.fromkeys(self.hyper_names, state.count)
