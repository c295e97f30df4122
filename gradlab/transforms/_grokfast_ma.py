"""Grokfast: slow gradients amplified, found by the mean over a window."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import DType, Params, Scalar, Updates, hyper, static


class GrokfastMAState(NamedTuple):
    """The latest gradients, in a ring: the gradient of step t is at t modulo the window."""

    count: Any
    recent: Any


class GrokfastMA(core.Rule):
    """Adds a multiple of the mean of the latest gradients."""

    window: int = static(convert=core.count_at_least(1))
    gain: Scalar = hyper("[0, inf)")
    warmup: bool = static(convert=core.flag)
    accumulator_dtype: DType | None = static(convert=core.dtype_or_none)

    def init(self, params: Params) -> GrokfastMAState:
        def leaf(zero: jax.Array) -> jax.Array:
            return jnp.broadcast_to(zero, (self.window, *zero.shape))

        zeros = core.moments_like(params, self.accumulator_dtype)
        return GrokfastMAState(core.step_count(), jax.tree.map(leaf, zeros))

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, GrokfastMAState]:
        count = jnp.asarray(optax.safe_increment(state.count))
        held = jnp.minimum(count, self.window)
        ready = held == self.window if self.warmup else True

        def leaf(h: Any, g: jax.Array, recent: jax.Array) -> tuple:
            recent = recent.at[state.count % self.window].set(g)
            # Summed anew, as a running sum would gather rounding errors for ever.
            mean = jnp.sum(recent, 0) / held.astype(g.real.dtype)
            return jnp.where(ready, g + h.gain * mean, g), recent

        updates, recent = self.each(leaf, updates, state.recent)
        return updates, GrokfastMAState(count, recent)


@core.builds(GrokfastMA)
def grokfast_ma(
    window: int = 100,
    gain: Scalar = 5.0,
    warmup: bool = True,
    accumulator_dtype: DType | None = None,
):
    r"""Grokfast-MA adds a multiple of the mean of the latest gradients.

    $$g_t \leftarrow g_t + \frac{\lambda}{w} \sum_{i=0}^{w-1} g_{t-i}$$

    It stands before an optimizer.

    Args:
      window: number w of gradients in the mean, the present one among them; at least 1.
      gain: multiple λ of the mean that is added, in [0, inf).
      warmup: whether gradients pass unchanged until the window is full. If not, the mean is
        over the gradients that there are.
      accumulator_dtype: dtype of the stored gradients. None: the parameter's, float32 below
        32 bits.

    Returns:
      The transformation. State: `window` × params and a count.

    Raises:
      ValueError: a hyperparameter outside its range.

    References:
      Lee, Kang, Kim and Lee, "Grokfast: Accelerated Grokking by Amplifying Slow Gradients",
      arXiv:2405.20233v2, Grokfast-MA; the authors' `gradfilter_ma`.

    Differs:
      The authors' `filter_type="sum"` is `gain=window * gain` here.

    Example:
      >>> import gradlab as gl
      >>> gl.grokfast_ma(window=10)
      grokfast_ma(window=10, gain=5.0)
    """


ENTRY = core.Entry(
    grokfast_ma,
    formula="g += gain * mean(the latest `window` gradients)",
    paper=("M044",),
    example={"window": 5},
    search_space={"gain": (0.1, 5.0, "log")},
    traits=core.Traits(
        temporaries="The mean over the window is stored before it is chosen or left out.",
    ),
)
