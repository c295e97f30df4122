"""Stochastic gradient descent, plain or with momentum."""

from __future__ import annotations

from typing import Any

import optax

from gradlab import core
from gradlab.core import DType, Params, Scalar, ScalarOrSchedule, Updates, hyper, static


class Trace(core.Rule):
    """A decaying sum of gradients."""

    decay: Scalar = hyper("[-1, 1]")
    nesterov: bool = static(convert=core.flag)
    accumulator_dtype: DType | None = static(convert=core.dtype_or_none)

    def init(self, params: Params) -> optax.TraceState:
        return optax.TraceState(core.moments_like(params, self.accumulator_dtype))

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, optax.TraceState]:
        def leaf(h: Any, g: Any, t: Any) -> tuple:
            return core.accumulate(t, g, h.decay, self.nesterov)

        updates, trace = self.each(leaf, updates, state.trace)
        return updates, optax.TraceState(trace)


class Momentum(core.Rule):
    """The gradient, or its trace if there is a momentum."""

    momentum: Scalar | None = hyper("[-1, 1]")
    nesterov: bool = static(convert=core.flag)
    accumulator_dtype: DType | None = static(convert=core.dtype_or_none)

    def init(self, params: Params) -> Any:
        return optax.EmptyState() if self.momentum is None else self.trace().init(params)

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, Any]:
        if self.momentum is None:
            return updates, state
        return self.trace().update(updates, state, params, **extra)

    def trace(self) -> Trace:
        decay: Any = self.momentum
        dtype = self.accumulator_dtype
        return Trace(decay=decay, nesterov=self.nesterov, accumulator_dtype=dtype)


class Sgd(core.Optimizer, Momentum):
    """Gradient descent, with an optional decoupled weight decay."""


@core.builds(Trace)
def trace(decay: Scalar, nesterov: bool = False, accumulator_dtype: DType | None = None):
    """A decaying sum of gradients alone; arguments as in `sgd`, `decay` being its momentum."""


@core.builds(Sgd)
def sgd(
    learning_rate: ScalarOrSchedule,
    momentum: Scalar | None = None,
    nesterov: bool = False,
    accumulator_dtype: DType | None = None,
    weight_decay: ScalarOrSchedule | None = None,
    mask: core.Mask = None,
):
    r"""Gradient descent follows the gradient, or a decaying sum of gradients.

    $$z \leftarrow \mu z + g,\quad \theta \leftarrow \theta - \eta\,z$$

    and with Nesterov's momentum θ ← θ − η (g + μ z).

    Args:
      learning_rate: step size η [parameter units per gradient unit], in [0, inf), or a
        schedule.
      momentum: decay μ of the sum, in [-1, 1]; None keeps no sum.
      nesterov: whether the step takes the newest gradient in once more.
      accumulator_dtype: dtype in which the sum is stored.
      weight_decay: decoupled decay λ, in [0, inf), scaled by the learning rate. It does
        not pass through the momentum.
      mask: which parameters decay: a tree of bools or a function of params.

    Returns:
      The optimizer. State: 1 × params with momentum, else none.

    Raises:
      ValueError: a hyperparameter outside its range.

    References:
      Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and momentum
      in deep learning", ICML 2013, equations 1 to 4.

    Differs:
      The sum holds gradients, not steps: the learning rate is applied afterwards.
      Nesterov's gradient is taken at θ, in the variables of Bengio, Boulanger-Lewandowski
      and Pascanu, arXiv:1212.0901v2.

    Example:
      >>> import gradlab as gl
      >>> gl.sgd(0.1, momentum=0.9)
      sgd(learning_rate=0.1, momentum=0.9)
    """


ENTRY = core.Entry(
    sgd,
    formula="z = momentum * z + g; p -= lr * z",
    paper=("sutskever2013importance",),
    example={"learning_rate": 0.01, "momentum": 0.9},
    search_space={"learning_rate": (1e-3, 1.0, "log"), "momentum": (0.5, 0.99, "linear")},
)
