"""LaProp: Adam that normalises before it averages."""

from __future__ import annotations

from typing import Any

import optax

from gradlab import core
from gradlab.core import DType, Params, Scalar, ScalarOrSchedule, Updates, hyper, static


class ScaleByLaprop(core.Rule):
    """The direction of LaProp."""

    b1: Scalar = hyper("[0, 1)")
    b2: Scalar = hyper("[0, 1)")
    eps: Scalar = hyper("[0, inf)")
    mu_dtype: DType | None = static(convert=core.dtype_or_none)

    def init(self, params: Params) -> optax.ScaleByAdamState:
        return core.init_moments(optax.ScaleByAdamState, params, mu=self.mu_dtype)

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, optax.ScaleByAdamState]:
        count = optax.safe_increment(state.count)

        def leaf(h: Any, g: Any, m: Any, v: Any) -> tuple:
            v = core.average(v.real, core.abs_sq(g), h.b2)
            normed = core.divide(g, core.sqrt(core.debias(v, h.b2, count)) + h.eps)
            m = core.average(m, normed, h.b1)
            return core.debias(m, h.b1, count), m, v

        updates, mu, nu = self.each(leaf, updates, state.mu, state.nu)
        return updates, optax.ScaleByAdamState(count, mu, nu)


class Laprop(core.Optimizer, ScaleByLaprop):
    """LaProp, with an optional decoupled weight decay."""


@core.builds(Laprop)
def laprop(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-15,
    mu_dtype: DType | None = None,
    weight_decay: ScalarOrSchedule | None = None,
    mask: core.Mask = None,
):
    r"""LaProp averages gradients that are already normalised, where Adam normalises an average.

    $$v \leftarrow \beta_2 v + (1-\beta_2) g^2,\quad
    m \leftarrow \beta_1 m + (1-\beta_1)
    \frac{g}{\sqrt{v / (1-\beta_2^t)} + \varepsilon},\quad
    \theta \leftarrow \theta - \eta\,\frac{m}{1-\beta_1^t}$$

    Args:
      learning_rate: step size η [parameter units per step], in [0, inf), or a schedule.
      b1: decay of the average of normalised gradients, in [0, 1).
      b2: decay of the average of squared gradients, in [0, 1); 0 gives the average of
        gradient signs.
      eps: added to the root [gradient units], in [0, inf).
      mu_dtype: dtype in which the average of normalised gradients is stored.
      weight_decay: decoupled decay λ, in [0, inf), scaled by the learning rate.
      mask: which parameters decay: a tree of bools or a function of params.

    Returns:
      The optimizer. State: 2 × params and a count.

    Raises:
      ValueError: a hyperparameter outside its range.

    References:
      Ziyin, Wang and Ueda, "LaProp: Separating Momentum and Adaptivity in Adam",
      arXiv:2002.04839v3, Algorithm 1.

    Differs:
      The authors' code takes the learning rate into the average, which is the same while
      the rate is constant, and subtracts a decay that the rate does not scale.

    Example:
      >>> import gradlab as gl
      >>> gl.laprop(4e-4)
      laprop(learning_rate=0.0004, b1=0.9, b2=0.999, eps=1e-15)
    """


ENTRY = core.Entry(
    laprop,
    formula="m = b1 * m + (1 - b1) * g / (sqrt(v_hat) + eps); p -= lr * m_hat",
    paper=("M010",),
    example={"learning_rate": 4e-4},
    search_space={"learning_rate": (1e-4, 1e-2, "log"), "b1": (0.8, 0.99, "linear")},
)
