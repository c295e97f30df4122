"""SAdam: Adam whose denominator is a softplus instead of a sum with a small number."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import DType, Params, Scalar, ScalarOrSchedule, Updates, hyper, static


class ScaleBySadam(core.Rule):
    """The direction of SAdam."""

    b1: Scalar = hyper("[0, 1)")
    b2: Scalar = hyper("[0, 1)")
    sharpness: Scalar = hyper("(0, inf)")
    mu_dtype: DType | None = static(convert=core.dtype_or_none)

    def init(self, params: Params) -> optax.ScaleByAdamState:
        return core.init_moments(optax.ScaleByAdamState, params, mu=self.mu_dtype)

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, optax.ScaleByAdamState]:
        count = optax.safe_increment(state.count)

        def leaf(h: Any, g: Any, m: Any, v: Any) -> tuple:
            m = core.average(m, g, h.b1)
            v = core.average(v.real, core.abs_sq(g), h.b2)
            root = core.sqrt(core.debias(v, h.b2, count))
            # For a root of zero or more, without overflow.
            softplus = root + jnp.log1p(jnp.exp(-h.sharpness * root)) / h.sharpness
            return core.debias(m, h.b1, count) / softplus, m, v

        updates, mu, nu = self.each(leaf, updates, state.mu, state.nu)
        return updates, optax.ScaleByAdamState(count, mu, nu)


class Sadam(core.Optimizer, ScaleBySadam):
    """SAdam, with an optional decoupled weight decay."""


@core.builds(Sadam)
def sadam(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    sharpness: Scalar = 50.0,
    mu_dtype: DType | None = None,
    *,
    weight_decay: ScalarOrSchedule | None = None,
    mask: core.Mask = None,
):
    r"""SAdam calibrates Adam's denominator by a softplus, which has no small number to choose.

    $$\theta \leftarrow \theta - \eta\,\frac{\hat m}{\mathrm{softplus}_\beta(\sqrt{\hat v})},
    \quad \mathrm{softplus}_\beta(x) = \frac1\beta \log\big(1 + e^{\beta x}\big)$$

    Coordinates with gradients below 1/β make steps like those of momentum, at a learning rate
    of ηβ / log 2; those above like those of Adam.

    Args:
      learning_rate: step size η [parameter units per step], in [0, inf), or a schedule.
      b1: decay of the average of gradients, in [0, 1).
      b2: decay of the average of squared gradients, in [0, 1).
      sharpness: β of the softplus [one over gradient units], in (0, inf).
      mu_dtype: dtype in which the average of gradients is stored.
      weight_decay: decoupled decay λ, in [0, inf), scaled by the learning rate.
      mask: which parameters decay: a tree of bools or a function of params.

    Returns:
      The optimizer. State: 2 × params and a count.

    Raises:
      ValueError: a hyperparameter outside its range.

    References:
      Tong, Liang and Bi, "Calibrating the Adaptive Learning Rate to Improve Convergence of
      ADAM", arXiv:1908.00700v2, Sadam.

    Differs:
      The averages are bias corrected, and the softplus is that of the corrected root. The
      decay is not in the paper.

    Example:
      >>> import gradlab as gl
      >>> gl.sadam(1e-3).sharpness
      50.0
    """


ENTRY = core.Entry(
    sadam,
    formula="p -= lr * m_hat / softplus(sqrt(v_hat), sharpness)",
    paper=("tong2019calibrating",),
    example={"learning_rate": 1e-3},
    search_space={"learning_rate": (1e-4, 1e-1, "log"), "sharpness": (1.0, 1e3, "log")},
)
