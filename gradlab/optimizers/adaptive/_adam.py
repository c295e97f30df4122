"""Adam: adaptive estimates of lower-order moments."""

from __future__ import annotations

from typing import Any

import optax

from gradlab import core
from gradlab.core import DType, Params, Scalar, ScalarOrSchedule, Updates, hyper, static


class ScaleByAdam(core.Rule):
    """The direction of Adam."""

    b1: Scalar = hyper("[0, 1)")
    b2: Scalar = hyper("[0, 1)")
    eps: Scalar = hyper("[0, inf)")
    eps_root: Scalar = hyper("[0, inf)")
    mu_dtype: DType | None = static(convert=core.dtype_or_none)
    nesterov: bool = static(convert=core.flag)

    def init(self, params: Params) -> optax.ScaleByAdamState:
        return core.init_moments(optax.ScaleByAdamState, params, mu=self.mu_dtype)

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, optax.ScaleByAdamState]:
        count = optax.safe_increment(state.count)

        def leaf(h: Any, g: Any, m: Any, v: Any) -> tuple:
            m = core.average(m, g, h.b1)
            v = core.average(v.real, core.abs_sq(g), h.b2)
            m_hat = core.debias_mean(m, g, h.b1, count, self.nesterov)
            v_hat = core.debias(v, h.b2, count)
            return core.divide(m_hat, core.sqrt(v_hat + h.eps_root) + h.eps), m, v

        updates, mu, nu = self.each(leaf, updates, state.mu, state.nu)
        return updates, optax.ScaleByAdamState(count, mu, nu)


class Adam(core.Optimizer, ScaleByAdam):
    """Adam, with an optional decoupled weight decay."""


@core.builds(Adam)
def adam(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    mu_dtype: DType | None = None,
    *,
    nesterov: bool = False,
    weight_decay: ScalarOrSchedule | None = None,
    mask: core.Mask = None,
):
    r"""Adam divides an average of gradients by the root of an average of their squares.

    $$m \leftarrow \beta_1 m + (1-\beta_1) g,\quad v \leftarrow \beta_2 v + (1-\beta_2) g^2,
    \quad \theta \leftarrow \theta - \eta\,
    \frac{m / (1-\beta_1^t)}{\sqrt{v / (1-\beta_2^t) + \bar\varepsilon} + \varepsilon}$$

    Args:
      learning_rate: step size η [parameter units per step], in [0, inf), or a schedule.
      b1: decay of the average of gradients, in [0, 1).
      b2: decay of the average of squared gradients, in [0, 1).
      eps: added to the root [gradient units], in [0, inf).
      eps_root: added under the root [squared gradient units], in [0, inf).
      mu_dtype: dtype in which the average of gradients is stored.
      nesterov: whether to look one step ahead, as Nadam does.
      weight_decay: decoupled decay λ, in [0, inf), scaled by the learning rate.
      mask: which parameters decay: a tree of bools or a function of params.

    Returns:
      The optimizer. State: 2 × params and a count.

    Raises:
      ValueError: a hyperparameter outside its range.

    References:
      Kingma and Ba, "Adam: A Method for Stochastic Optimization", arXiv:1412.6980v9,
      Algorithm 1.

    Differs:
      `eps_root`, `nesterov` and the decay are not in the paper.

    Example:
      >>> import gradlab as gl
      >>> gl.adam(1e-3)
      adam(learning_rate=0.001, b1=0.9, b2=0.999, eps=1e-08, eps_root=0.0)
    """


ENTRY = core.Entry(
    adam,
    formula="p -= lr * m_hat / (sqrt(v_hat + eps_root) + eps)",
    paper=("M009",),
    example={"learning_rate": 1e-3},
    search_space={"learning_rate": (1e-4, 1e-2, "log"), "b1": (0.8, 0.99, "linear")},
)
