"""A step along the gradient, then one that does not need it: plain, or accelerated."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import Params, ScalarOrSchedule, Updates, hyper, static

STORED = (
    "With acceleration the parameters and the latest backward step each read what the other "
    "replaces."
)


class ForwardBackwardState(NamedTuple):
    """The number of steps so far."""

    count: Any


class AcceleratedState(NamedTuple):
    """The number of steps, the sequence t of the momentum, and the latest backward step x."""

    count: Any
    t: Any
    x: Any


class ForwardBackward(core.Rule):
    """Forward along the gradient; backward by what a subclass defines."""

    learning_rate: ScalarOrSchedule = hyper("[0, inf)")
    acceleration: bool = static(convert=core.flag)
    restart: bool = static(convert=core.flag)

    def backward(self, tree: Params, rate: Any) -> Params:
        """The step that does not need the gradient."""
        raise NotImplementedError(f"{type(self).__name__} has to define backward")

    def check_composition(self) -> None:
        if self.restart and not self.acceleration:
            raise ValueError(f"{self.owner()}: restart=True has no effect without acceleration")

    def init(self, params: Params) -> Any:
        if not self.acceleration:
            return ForwardBackwardState(core.step_count())
        x = jax.tree.map(lambda zero, p: zero + p, core.moments_like(params), params)
        return AcceleratedState(core.step_count(), jnp.ones([], jnp.result_type(float)), x)

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, Any]:
        params = self.needed(params)
        rate = core.at(self.learning_rate, state.count)
        now = self.with_values(learning_rate=rate)
        (forward,) = now.each(lambda h, g, p: p - h.learning_rate * g, updates, reads=(params,))
        new, count = now.backward(forward, rate), optax.safe_increment(state.count)
        if not self.acceleration:
            (step,) = now.each(lambda h, x, p: x - p, new, reads=(params,))
            return step, ForwardBackwardState(count)
        old_t = self.restarted(state, new, params) if self.restart else state.t
        t = core.next_in_sequence(old_t)

        def leaf(h: Any, x: Any, old: Any, y: Any) -> tuple:
            ahead = x + jnp.asarray((old_t - 1) / t, x.real.dtype) * (x - old)
            return ahead - y, x

        step, x = now.each(leaf, new, state.x, reads=(params,))
        return step, AcceleratedState(count, jnp.asarray(t, state.t.dtype), x)

    def restarted(self, state: Any, new: Params, params: Params) -> Any:
        """t, or one where the momentum points uphill: where y − x and x − old agree."""
        (back,) = self.each(lambda h, x, y: y - x, new, reads=(params,))
        (ahead,) = self.each(lambda h, x, old: x - old, new, reads=(state.x,))
        return jnp.where(core.inner_product(back, ahead) > 0, 1, state.t)

    def eval_params(self, state: Any, params: Params) -> Params:
        """The latest backward step: with acceleration, parameters are beyond it."""
        if not self.acceleration:
            return params
        return jax.tree.map(lambda x, p: jnp.asarray(x, jnp.result_type(p)), state.x, params)

    def schedule_counts(self, state: Any) -> dict[str, Any]:
        return {"learning_rate": state.count}
