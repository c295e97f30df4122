"""AMSGrad: Adam whose denominator never shrinks."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import DType, Params, Scalar, ScalarOrSchedule, Updates, hyper, static


class ScaleByAmsgrad(core.Rule):
    """The direction of AMSGrad."""

    b1: Scalar = hyper("[0, 1)")
    b2: Scalar = hyper("[0, 1)")
    eps: Scalar = hyper("[0, inf)")
    eps_root: Scalar = hyper("[0, inf)")
    mu_dtype: DType | None = static(convert=core.dtype_or_none)
    bias_correction_mu: bool = static(convert=core.flag)
    bias_correction_nu: bool = static(convert=core.flag)

    def init(self, params: Params) -> optax.ScaleByAmsgradState:
        return core.init_moments(optax.ScaleByAmsgradState, params, mu=self.mu_dtype)

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, optax.ScaleByAmsgradState]:
        count = optax.safe_increment(state.count)

        def leaf(h: Any, g: Any, m: Any, v: Any, v_max: Any) -> tuple:
            m = core.average(m, g, h.b1)
            v = core.average(v.real, core.abs_sq(g), h.b2)
            m_hat = core.debias(m, h.b1, count) if self.bias_correction_mu else m
            v_hat = core.debias(v, h.b2, count) if self.bias_correction_nu else v
            v_max = jnp.maximum(v_max.real, v_hat)
            return core.divide(m_hat, core.sqrt(v_max + h.eps_root) + h.eps), m, v, v_max

        updates, mu, nu, nu_max = self.each(leaf, updates, state.mu, state.nu, state.nu_max)
        return updates, optax.ScaleByAmsgradState(count, mu, nu, nu_max)


class Amsgrad(core.Optimizer, ScaleByAmsgrad):
    """AMSGrad, with an optional decoupled weight decay."""


@core.builds(Amsgrad)
def amsgrad(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    mu_dtype: DType | None = None,
    bias_correction_mu: bool = True,
    bias_correction_nu: bool = True,
    weight_decay: ScalarOrSchedule | None = None,
    mask: core.Mask = None,
):
    r"""AMSGrad is Adam with the largest second moment seen so far in the denominator.

    $$\hat v \leftarrow \max\Big(\hat v, \frac{v}{1-\beta_2^t}\Big),\quad
    \theta \leftarrow \theta - \eta\,
    \frac{m / (1-\beta_1^t)}{\sqrt{\hat v + \bar\varepsilon} + \varepsilon}$$

    where m and v are the averages of Adam.

    Args:
      learning_rate: step size η [parameter units per step], in [0, inf), or a schedule.
      b1: decay of the average of gradients, in [0, 1).
      b2: decay of the average of squared gradients, in [0, 1).
      eps: added to the root [gradient units], in [0, inf).
      eps_root: added under the root [squared gradient units], in [0, inf).
      mu_dtype: dtype in which the average of gradients is stored.
      bias_correction_mu: whether to divide m by the weight it has collected.
      bias_correction_nu: whether to do so with v, before the maximum is taken.
      weight_decay: decoupled decay λ, in [0, inf), scaled by the learning rate.
      mask: which parameters decay: a tree of bools or a function of params.

    Returns:
      The optimizer. State: 3 × params and a count.

    Raises:
      ValueError: a hyperparameter outside its range.

    References:
      Reddi, Kale and Kumar, "On the Convergence of Adam and Beyond", arXiv:1904.09237v1,
      Algorithm 2.

    Differs:
      The paper corrects neither moment, which both flags set to False give, and has
      neither `eps` nor the decay. PyTorch takes the maximum of the uncorrected moment and
      corrects it afterwards.

    Example:
      >>> import gradlab as gl
      >>> gl.amsgrad(1e-3)
      amsgrad(learning_rate=0.001, b1=0.9, b2=0.999, eps=1e-08, eps_root=0.0)
    """


ENTRY = core.Entry(
    amsgrad,
    formula="v_max = max(v_max, v_hat); p -= lr * m_hat / (sqrt(v_max + eps_root) + eps)",
    paper=("M006",),
    example={"learning_rate": 1e-3},
    search_space={"learning_rate": (1e-4, 1e-2, "log"), "b1": (0.8, 0.99, "linear")},
    traits=core.Traits(smooth=False, kinks="Where a second moment overtakes the largest."),
)
