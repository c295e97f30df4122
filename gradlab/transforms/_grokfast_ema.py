"""Grokfast: slow gradients amplified, found by an exponential average."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import DType, Params, Scalar, Updates, hyper, static


class GrokfastEMAState(NamedTuple):
    """The slow part of the gradients."""

    count: Any
    mu: Any


class GrokfastEMA(core.Rule):
    """Adds a multiple of an exponential average of the gradients."""

    decay: Scalar = hyper("[0, 1]")
    gain: Scalar = hyper("[0, inf)")
    mu_dtype: DType | None = static(convert=core.dtype_or_none)

    def init(self, params: Params) -> GrokfastEMAState:
        return core.init_moments(GrokfastEMAState, params, self.mu_dtype)

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, GrokfastEMAState]:
        def leaf(h: Any, g: jax.Array, m: jax.Array) -> tuple:
            # The average starts at the first gradient, not at zero: it needs no correction.
            m = core.average(jnp.where(state.count == 0, g, m), g, h.decay)
            return g + h.gain * m, m

        updates, mu = self.each(leaf, updates, state.mu)
        return updates, GrokfastEMAState(optax.safe_increment(state.count), mu)


@core.builds(GrokfastEMA)
def grokfast_ema(decay: Scalar = 0.98, gain: Scalar = 2.0, mu_dtype: DType | None = None):
    r"""Grokfast-EMA adds a multiple of the slow part of the gradients, an average of them.

    $$\mu \leftarrow \alpha\mu + (1 - \alpha)\,g,\quad g \leftarrow g + \lambda\mu$$

    with μ equal to g at the first step. It stands before an optimizer.

    Args:
      decay: decay α of the average, in [0, 1].
      gain: multiple λ of the average that is added, in [0, inf).
      mu_dtype: dtype of the average. None: the parameter's, float32 below 32 bits.

    Returns:
      The transformation. State: 1 × params and a count.

    Raises:
      ValueError: a hyperparameter outside its range.

    References:
      Lee, Kang, Kim and Lee, "Grokfast: Accelerated Grokking by Amplifying Slow Gradients",
      arXiv:2405.20233v2, Grokfast-EMA; the authors' `gradfilter_ema`.

    Differs:
      In names: the authors call `decay` alpha and `gain` lamb.

    Example:
      >>> import gradlab as gl
      >>> gl.chain(gl.grokfast_ema(0.98, 2.0), gl.adamw(1e-3)).links[0]
      grokfast_ema(decay=0.98, gain=2.0)
    """


ENTRY = core.Entry(
    grokfast_ema,
    formula="mu = decay * mu + (1 - decay) * g; g += gain * mu",
    paper=("M044",),
    example={},
    search_space={"decay": (0.8, 0.99, "linear"), "gain": (0.1, 5.0, "log")},
)
