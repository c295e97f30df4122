"""Stochastic weight averaging: the mean of iterates from the tail of a run."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import DType, Params, Updates, static
from gradlab.optimizers.momentum import sgd
from gradlab.wrappers._average_iterates import AverageIteratesState
from gradlab.wrappers._averages import as_params, started_at


class Swa(core.Wrapper):
    """Steps as the inner optimizer does, and takes iterates into a mean now and then."""

    start: int = static(convert=core.count_at_least(0))
    period: int = static(convert=core.count_at_least(1))
    accumulator_dtype: DType | None = static(convert=core.dtype_or_none)

    def init(self, params: Params) -> AverageIteratesState:
        average = started_at(params, self.accumulator_dtype)
        return AverageIteratesState(core.step_count(), average, self.inner.rule.init(params))

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, AverageIteratesState]:
        params = self.needed(params)
        updates, inner_state = self.inner.rule.update(updates, state.inner_state, params, **extra)
        count = jnp.asarray(optax.safe_increment(state.count))
        before = jnp.maximum((count - self.start) // self.period, 0)  # iterates in the mean
        taken = (count >= self.start) & ((count - self.start) % self.period == 0)

        def leaf(h: Any, u: jax.Array, average: jax.Array, p: jax.Array) -> tuple:
            n = before.astype(u.real.dtype)
            mean = jnp.where(before == 0, p + u, average + (p + u - average) / (n + 1))
            return u, jnp.where(taken, mean, average)

        updates, average = self.each(leaf, updates, state.average, reads=(params,))
        return updates, AverageIteratesState(count, average, inner_state)

    def eval_params(self, state: Any, params: Params) -> Params:
        average = as_params(state.average, params)
        begun = state.count >= self.start
        return jax.tree.map(lambda x, p: jnp.where(begun, x, p), average, params)


@core.builds(Swa)
def swa(
    inner: optax.GradientTransformation,
    start: int,
    period: int = 1,
    *,
    accumulator_dtype: DType | None = None,
):
    r"""SWA averages the iterates at the end of each period, from some step on.

    $$\bar\theta = \frac1{n+1} \sum_{i=0}^{n} \theta_{s + i c}$$

    The parameters move as they would without it; `gl.eval_params(opt, state, params)` gives
    the mean, and before the first of its iterates the parameters. The learning rate is best
    kept high, or cyclic with that period.

    Args:
      inner: the optimizer.
      start: number s of steps after which the first iterate is taken, at least 0.
      period: steps c between iterates that are taken, at least 1.
      accumulator_dtype: dtype in which the mean is stored. None: the parameter's, and float32
        for parameters of fewer than 32 bits.

    Returns:
      The optimizer. State: that of `inner`, 1 × params and a count.

    Raises:
      TypeError: `inner` is no transformation, or a count is no integer.
      ValueError: a count that is too small, or no parameters.

    References:
      Izmailov, Podoprikhin, Garipov, Vetrov and Wilson, "Averaging Weights Leads to Wider
      Optima and Better Generalization", arXiv:1803.05407v3, Algorithm 1.

    Differs:
      The mean sees the sum of parameter and update before it is rounded to a narrow dtype.
      Statistics of normalisation layers are not computed anew.

    Example:
      >>> import gradlab as gl
      >>> opt, p = gl.swa(gl.sgd(1.0), start=1), 4.0
      >>> state = opt.init(p)
      >>> for _ in range(2):
      ...     updates, state = opt.update(1.0, state, p)
      ...     p = p + updates
      >>> float(p), float(gl.eval_params(opt, state, p))
      (2.0, 2.5)
    """


ENTRY = core.Entry(
    swa,
    formula="p += inner(g); average = mean of p at steps start, start + period, ...",
    paper=("izmailov2018averaging",),
    example={"inner": sgd(0.01), "start": 6, "period": 4},
    search_space={"learning_rate": (1e-3, 1.0, "log")},
)
