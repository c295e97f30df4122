"""Latest weight averaging: the mean of the last few checkpoints."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import DType, Params, Updates, static
from gradlab.optimizers.momentum import sgd
from gradlab.wrappers._averages import as_params


class LawaState(NamedTuple):
    """State of `lawa`.

    Attributes:
      count: steps so far.
      checkpoints: the latest ones in a ring, a tree like the parameters with a leading axis.
      inner_state: that of the inner optimizer.
    """

    count: Any
    checkpoints: Any
    inner_state: Any


class Lawa(core.Wrapper):
    """Steps as the inner optimizer does, and keeps the latest iterates of all periods."""

    window: int = static(convert=core.count_at_least(1))
    period: int = static(convert=core.count_at_least(1))
    accumulator_dtype: DType | None = static(convert=core.dtype_or_none)

    def init(self, params: Params) -> LawaState:
        zeros = core.moments_like(params, self.accumulator_dtype)
        rings = jax.tree.map(lambda x: jnp.broadcast_to(x, (self.window, *x.shape)), zeros)
        return LawaState(core.step_count(), rings, self.inner.rule.init(params))

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, LawaState]:
        params = self.needed(params)
        updates, inner_state = self.inner.rule.update(updates, state.inner_state, params, **extra)
        count = jnp.asarray(optax.safe_increment(state.count))
        taken, place = count % self.period == 0, (count // self.period - 1) % self.window

        def leaf(h: Any, u: jax.Array, ring: jax.Array, p: jax.Array) -> tuple:
            return u, ring.at[place].set(jnp.where(taken, p + u, ring[place]))

        updates, rings = self.each(leaf, updates, state.checkpoints, reads=(params,))
        return updates, LawaState(count, rings, inner_state)

    def eval_params(self, state: Any, params: Params) -> Params:
        held = jnp.minimum(state.count // self.period, self.window)

        def leaf(h: Any, p: jax.Array, ring: jax.Array) -> jax.Array:
            mean = jnp.sum(ring, 0) / jnp.maximum(held, 1).astype(p.real.dtype)
            return jnp.where(held == 0, p, mean)

        (mean,) = self.each(leaf, params, reads=(state.checkpoints,))
        return as_params(mean, params)


@core.builds(Lawa)
def lawa(
    inner: optax.GradientTransformation,
    window: int = 6,
    period: int = 1,
    *,
    accumulator_dtype: DType | None = None,
):
    r"""LAWA averages the latest checkpoints, one from the end of each period.

    $$\bar\theta = \frac1k \sum_{i=0}^{k-1} \theta_{c\,(n - i)},\quad n = \lfloor t / c \rfloor$$

    The parameters move as they would without it; `gl.eval_params(opt, state, params)` gives
    the mean. Checkpoints far apart, a period that is a good part of an epoch, gain more.

    Args:
      inner: the optimizer.
      window: number k of checkpoints in the mean, at least 1. While there are fewer, the mean
        is over those; while there is none, it is the parameters.
      period: steps c from one checkpoint to the next, at least 1.
      accumulator_dtype: dtype of the checkpoints. None: the parameter's, and float32 for
        parameters of fewer than 32 bits.

    Returns:
      The optimizer. State: that of `inner`, k × params and a count.

    Raises:
      TypeError: `inner` is no transformation, or a count is no integer.
      ValueError: a count below 1, or no parameters.

    References:
      Kaddour, "Stop Wasting My Time! Saving Days of ImageNet and BERT Training with Latest
      Weight Averaging", arXiv:2209.14981v2; Sanyal, Neerkaje, Kaddour, Kumar and Sanghavi,
      "Early Weight Averaging meets High Learning Rates for LLM Pre-training",
      arXiv:2306.03241v2.

    Differs:
      Checkpoints are of the sum of parameter and update before it is rounded to a narrow
      dtype. The papers average once the window is full.

    Example:
      >>> import gradlab as gl
      >>> opt, p = gl.lawa(gl.sgd(1.0), window=2), 4.0
      >>> state = opt.init(p)
      >>> for _ in range(3):
      ...     updates, state = opt.update(1.0, state, p)
      ...     p = p + updates
      >>> float(p), float(gl.eval_params(opt, state, p))
      (1.0, 1.5)
    """


ENTRY = core.Entry(
    lawa,
    formula="p += inner(g); average = mean of the last k of p at steps c, 2c, ...",
    paper=("kaddour2022stop", "sanyal2023early"),
    example={"inner": sgd(0.01), "window": 3, "period": 2},
    search_space={"learning_rate": (1e-3, 1.0, "log")},
    traits=core.Traits(
        temporaries="What is written into the ring, the new checkpoint or the old one, is put "
        "together beside it.",
    ),
)
