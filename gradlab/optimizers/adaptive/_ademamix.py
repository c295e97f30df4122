"""AdEMAMix: Adam with a second, very slow average of gradients."""

from __future__ import annotations

from typing import Any

import optax
from optax.contrib import ScaleByAdemamixState

from gradlab import core
from gradlab.core import DType, Params, Scalar, ScalarOrSchedule, Updates, hyper, static


class ScaleByAdemamix(core.Rule):
    """The direction of AdEMAMix."""

    b1: Scalar = hyper("[0, 1)")
    b2: Scalar = hyper("[0, 1)")
    b3: ScalarOrSchedule = hyper("[0, 1]")
    alpha: ScalarOrSchedule = hyper("[0, inf)")
    eps: Scalar = hyper("[0, inf)")
    eps_root: Scalar = hyper("[0, inf)")
    mu_dtype: DType | None = static(convert=core.dtype_or_none)

    def init(self, params: Params) -> ScaleByAdemamixState:
        return core.init_moments(ScaleByAdemamixState, params, self.mu_dtype)

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, ScaleByAdemamixState]:
        count, slow_count = map(optax.safe_increment, (state.count, state.count_m2))

        def leaf(h: Any, g: Any, m1: Any, m2: Any, v: Any) -> tuple:
            m1 = core.average(m1, g, h.b1)
            m2 = core.average(m2, g, h.b3)
            v = core.average(v.real, core.abs_sq(g), h.b2)
            m1_hat, v_hat = core.debias(m1, h.b1, count), core.debias(v, h.b2, count)
            mixed = m1_hat + h.alpha * m2
            return core.divide(mixed, core.sqrt(v_hat + h.eps_root) + h.eps), m1, m2, v

        b3, alpha = (core.at(value, state.count_m2) for value in (self.b3, self.alpha))
        rule = self.with_values(b3=b3, alpha=alpha)
        updates, m1, m2, nu = rule.each(leaf, updates, state.m1, state.m2, state.nu)
        return updates, ScaleByAdemamixState(count, slow_count, m1, m2, nu)

    def schedule_counts(self, state: Any) -> dict[str, Any]:
        return {"b3": state.count_m2, "alpha": state.count_m2}


class Ademamix(core.Optimizer, ScaleByAdemamix):
    """AdEMAMix, with decoupled weight decay."""


@core.builds(Ademamix)
def ademamix(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    b3: ScalarOrSchedule = 0.9999,
    alpha: ScalarOrSchedule = 5.0,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    mu_dtype: DType | None = None,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: core.Mask = None,
):
    r"""AdEMAMix is AdamW that adds a slow average of gradients to the fast one.

    $$m_1 \leftarrow \beta_1 m_1 + (1-\beta_1) g,\quad
    m_2 \leftarrow \beta_3 m_2 + (1-\beta_3) g,\quad
    v \leftarrow \beta_2 v + (1-\beta_2) g^2$$
    $$\theta \leftarrow \theta - \eta\,\Big(\frac{m_1 / (1-\beta_1^t) + \alpha m_2}
    {\sqrt{v / (1-\beta_2^t) + \bar\varepsilon} + \varepsilon} + \lambda\,\theta\Big)$$

    Args:
      learning_rate: step size η [parameter units per step], in [0, inf), or a schedule.
      b1: decay of the fast average of gradients, in [0, 1).
      b2: decay of the average of squared gradients, in [0, 1).
      b3: decay of the slow average of gradients, in [0, 1], or a schedule.
      alpha: weight of the slow average, in [0, inf), or a schedule; 0 gives AdamW.
      eps: added to the root [gradient units], in [0, inf).
      eps_root: added under the root [squared gradient units], in [0, inf).
      mu_dtype: dtype in which all three averages are stored. In bfloat16 a slow average
        does not see small gradients: `1 - b3` times one of them rounds away.
      weight_decay: decoupled decay λ, in [0, inf), scaled by the learning rate.
      mask: which parameters decay: a tree of bools or a function of params.

    Returns:
      The optimizer. State: 3 × params and two counts.

    Raises:
      ValueError: a hyperparameter outside its range.

    References:
      Pagliardini, Ablin and Grangier, "The AdEMAMix Optimizer: Better, Faster, Older",
      arXiv:2409.03137v2, Algorithm 1.

    Differs:
      The paper warms alpha and b3 up over the first steps; here that is asked for with
      schedules, which count finished steps (0 at the first, 1 in the paper).

    Example:
      >>> import gradlab as gl
      >>> gl.ademamix(1e-3, alpha=gl.linear_schedule(0.0, 5.0, 1000)).b3
      0.9999
    """


ENTRY = core.Entry(
    ademamix,
    formula="p -= lr * ((m1_hat + alpha * m2) / (sqrt(v_hat + eps_root) + eps) + weight_decay * p)",
    paper=("M007",),
    example={"learning_rate": 1e-3},
    search_space={"learning_rate": (1e-4, 1e-2, "log"), "alpha": (1.0, 10.0, "linear")},
)
