"""An average of the iterates, kept beside an optimizer."""

from __future__ import annotations

from typing import Any, NamedTuple

import optax

from gradlab import core
from gradlab.core import DType, Params, ScalarOrSchedule, Updates, hyper, static
from gradlab.optimizers.momentum import sgd
from gradlab.wrappers._averages import as_params, started_at


class AverageIteratesState(NamedTuple):
    """State of `average_iterates`.

    Attributes:
      count: steps so far.
      average: a tree like the parameters.
      inner_state: that of the inner optimizer.
    """

    count: Any
    average: Any
    inner_state: Any


class AverageIterates(core.Wrapper):
    """Steps as the inner optimizer does, and averages where it leads."""

    decay: ScalarOrSchedule = hyper("[0, 1]")
    accumulator_dtype: DType | None = static(convert=core.dtype_or_none)

    def init(self, params: Params) -> AverageIteratesState:
        average = started_at(params, self.accumulator_dtype)
        return AverageIteratesState(core.step_count(), average, self.inner.rule.init(params))

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, AverageIteratesState]:
        params = self.needed(params)
        updates, inner_state = self.inner.rule.update(updates, state.inner_state, params, **extra)

        def leaf(h: Any, u: Any, average: Any, p: Any) -> tuple:
            return u, core.average(average, p + u, h.decay)

        now = self.with_values(decay=core.at(self.decay, state.count))
        updates, average = now.each(leaf, updates, state.average, reads=(params,))
        count = optax.safe_increment(state.count)
        return updates, AverageIteratesState(count, average, inner_state)

    def eval_params(self, state: Any, params: Params) -> Params:
        return as_params(state.average, params)

    def schedule_counts(self, state: Any) -> dict[str, Any]:
        return {"decay": state.count}


@core.builds(AverageIterates)
def average_iterates(
    inner: optax.GradientTransformation,
    decay: ScalarOrSchedule = 0.999,
    *,
    accumulator_dtype: DType | None = None,
):
    r"""Keeps an exponential average of the parameters, with which to evaluate.

    $$\theta \leftarrow \theta + u,\quad \bar\theta \leftarrow \beta\,\bar\theta
    + (1-\beta)\,\theta$$

    The parameters move as they would without it; `gl.eval_params(opt, state, params)` gives
    the average. It starts at the initial parameters. The schedule `lambda t: t / (t + 1)`
    makes it the mean of all iterates.

    Args:
      inner: the optimizer.
      decay: decay β of the average [weight per step], in [0, 1], or a schedule of the number
        of steps.
      accumulator_dtype: dtype in which the average is stored. None: the parameter's, and
        float32 for parameters of fewer than 32 bits.

    Returns:
      The optimizer. State: that of `inner`, 1 × params and a count.

    Raises:
      TypeError: `inner` is no transformation.
      ValueError: `decay` outside its range, or no parameters.

    References:
      Block, Foster, Krishnamurthy, Simchowitz and Zhang, "Butterfly Effects of SGD Noise:
      Error Amplification in Behavior Cloning and Autoregression", arXiv:2310.11428v1.
      Izmailov, Podoprikhin, Garipov, Vetrov and Wilson, "Averaging Weights Leads to Wider
      Optima and Better Generalization", arXiv:1803.05407v3 (the mean of all).

    Differs:
      The average includes the initial parameters with weight β^t. It sees the sum of
      parameter and update before it is rounded to a narrow dtype.

    Example:
      >>> import gradlab as gl
      >>> opt = gl.average_iterates(gl.adam(1e-3), 0.99)
      >>> opt.decay
      0.99
    """


ENTRY = core.Entry(
    average_iterates,
    formula="p += inner(g); average = decay * average + (1 - decay) * p",
    paper=("M100", "izmailov2018averaging"),
    example={"inner": sgd(0.01), "decay": 0.9},
    search_space={"learning_rate": (1e-3, 1.0, "log"), "decay": (0.9, 0.9999, "linear")},
)
