"""The gradient over the root of an average of its squares, centred or not."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import Params, Scalar, Updates, hyper, static


class ScaleByRms(core.Rule):
    """The direction of RMSProp."""

    decay: Scalar = hyper("[0, 1)")
    eps: Scalar = hyper("[0, inf)")
    initial_scale: Scalar = hyper("[0, inf)")
    eps_in_sqrt: bool = static(convert=core.flag)
    bias_correction: bool = static(convert=core.flag)
    centered: bool = static(default=False, convert=core.flag)

    def init(self, params: Params) -> Any:
        # Two of optax's four types of state have no public name.
        like = optax.scale_by_stddev if self.centered else optax.scale_by_rms
        state = jax.eval_shape(like(bias_correction=self.bias_correction).init, ())
        averages = {"nu": core.moments_like(params, fill=self.initial_scale)}
        if self.centered:
            averages["mu"] = core.moments_like(params)
        count = {"count": core.step_count()} if self.bias_correction else {}
        return state._replace(**count, **averages)

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, Any]:
        count = optax.safe_increment(state.count) if self.bias_correction else None

        def leaf(h: Any, g: Any, v: Any, *mean: Any) -> tuple:
            v = core.average(v.real, core.abs_sq(g), h.decay)
            mean = tuple(core.average(m, g, h.decay) for m in mean)
            return self.direction(h, g, count, v, *mean), v, *mean

        updates, *new = self.each(leaf, updates, *self.averages(state))
        averages = dict(zip(self.names, new, strict=True))
        return updates, state._replace(**averages, **({} if count is None else {"count": count}))

    @property
    def names(self) -> tuple[str, ...]:
        """The fields of the state that are averages."""
        return ("nu", "mu") if self.centered else ("nu",)

    def averages(self, state: Any) -> list:
        return [getattr(state, name) for name in self.names]

    def again(self, updates: Updates, state: Any, first: Any) -> Updates:
        """The direction that led to this state, computed a second time once `first` is there.

        Where two outputs of a step need it, this costs less than a place to keep it.
        """
        count = state.count if self.bias_correction else None
        nu, *mean = self.averages(state)
        nu = jax.tree.map(core.written_after, nu, first)

        def leaf(h: Any, g: Any, v: Any, *mean: Any) -> jax.Array:
            return self.direction(h, g, count, v.real, *mean)

        (directions,) = self.each(leaf, updates, reads=(nu, *mean))
        return directions

    def direction(self, h: Any, g: Any, count: Any, v: Any, *mean: Any) -> jax.Array:
        """The gradient over the root of the averages."""
        variance, *centre = (v, *mean)
        if count is not None:
            variance, *centre = (core.debias(x, h.decay, count) for x in (v, *mean))
        for m in centre:
            variance = variance - core.abs_sq(m)
        return self.reciprocal_root(h, variance) * g

    def reciprocal_root(self, h: Any, variance: jax.Array) -> jax.Array:
        """One over the root; a centred variance may round to less than zero."""
        if self.eps_in_sqrt:
            square = variance + h.eps
            return core.reciprocal_sqrt(jnp.where(square < 0, h.eps, square))
        return core.divide(1.0, core.sqrt(jnp.where(variance < 0, 0.0, variance)) + h.eps)


class ScaleByStddev(ScaleByRms):
    """The direction of centred RMSProp."""

    centered: bool = static(default=True, convert=core.flag)
