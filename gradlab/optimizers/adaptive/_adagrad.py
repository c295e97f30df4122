"""AdaGrad: the step shrinks with the sum of squared gradients."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import Params, Scalar, ScalarOrSchedule, Updates, hyper


class ScaleByRss(core.Rule):
    """The direction of AdaGrad."""

    initial_accumulator_value: Scalar = hyper("[0, inf)")
    eps: Scalar = hyper("[0, inf)")

    def init(self, params: Params) -> optax.ScaleByRssState:
        return optax.ScaleByRssState(core.moments_like(params, fill=self.initial_accumulator_value))

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, optax.ScaleByRssState]:

        def leaf(h: Any, g: Any, total: Any) -> tuple:
            total = core.abs_sq(g) + total.real
            scale = core.reciprocal_sqrt(jnp.where(total > 0, total + h.eps, 0))
            return scale * g, total

        updates, total = self.each(leaf, updates, state.sum_of_squares)
        return updates, optax.ScaleByRssState(total)


class Adagrad(core.Optimizer, ScaleByRss):
    """AdaGrad, with an optional decoupled weight decay."""


@core.builds(Adagrad)
def adagrad(
    learning_rate: ScalarOrSchedule,
    initial_accumulator_value: Scalar = 0.1,
    eps: Scalar = 1e-7,
    weight_decay: ScalarOrSchedule | None = None,
    mask: core.Mask = None,
):
    r"""AdaGrad divides the gradient by the root of the sum of all squared gradients.

    $$G \leftarrow G + g^2,\quad
    \theta \leftarrow \theta - \eta\,\frac{g}{\sqrt{G + \varepsilon}}$$

    A coordinate whose sum is zero rests.

    Args:
      learning_rate: step size η [parameter units per step], in [0, inf), or a schedule.
      initial_accumulator_value: where G starts [squared gradient units], in [0, inf).
      eps: added under the root [squared gradient units], in [0, inf).
      weight_decay: decoupled decay λ, in [0, inf), scaled by the learning rate.
      mask: which parameters decay: a tree of bools or a function of params.

    Returns:
      The optimizer. State: 1 × params.

    Raises:
      ValueError: a hyperparameter outside its range.

    References:
      Duchi, Hazan and Singer, "Adaptive Subgradient Methods for Online Learning and
      Stochastic Optimization", JMLR 12 (2011), Figure 1, with diagonal matrices.

    Differs:
      The sum starts at zero in the paper, and a small number is added to the root, not
      under it. The decay is not in the paper.

    Example:
      >>> import gradlab as gl
      >>> gl.adagrad(0.1)
      adagrad(learning_rate=0.1, initial_accumulator_value=0.1, eps=1e-07)
    """


ENTRY = core.Entry(
    adagrad,
    formula="G += g**2; p -= lr * g / sqrt(G + eps)",
    paper=("duchi2011adaptive",),
    example={"learning_rate": 0.1},
    search_space={"learning_rate": (1e-3, 1.0, "log")},
)
