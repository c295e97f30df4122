"""AdaBelief: the step follows how far gradients are from their prediction."""

from __future__ import annotations

from typing import Any

import optax

from gradlab import core
from gradlab.core import Params, Scalar, ScalarOrSchedule, Updates, hyper, static


class ScaleByBelief(core.Rule):
    """The direction of AdaBelief."""

    written_last = ("nu",)
    b1: Scalar = hyper("[0, 1)")
    b2: Scalar = hyper("[0, 1)")
    eps: Scalar = hyper("[0, inf)")
    eps_root: Scalar = hyper("[0, inf)")
    nesterov: bool = static(convert=core.flag)

    def init(self, params: Params) -> optax.ScaleByBeliefState:
        return core.init_moments(optax.ScaleByBeliefState, params)

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, optax.ScaleByBeliefState]:
        count = optax.safe_increment(state.count)

        def leaf(h: Any, g: Any, m: Any, s: Any) -> tuple:
            m = core.average(m, g, h.b1)
            s = core.average(s.real, core.abs_sq(g - m), h.b2) + h.eps_root
            m_hat = core.debias_mean(m, g, h.b1, count, self.nesterov)
            s_hat = core.debias(s, h.b2, count)
            return core.divide(m_hat, core.sqrt(s_hat) + h.eps), m, s

        updates, mu, nu = self.each(leaf, updates, state.mu, state.nu)
        return updates, optax.ScaleByBeliefState(count, mu, nu)


class Adabelief(core.Optimizer, ScaleByBelief):
    """AdaBelief, with an optional decoupled weight decay."""


@core.builds(Adabelief)
def adabelief(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-16,
    eps_root: Scalar = 1e-16,
    *,
    nesterov: bool = False,
    weight_decay: ScalarOrSchedule | None = None,
    mask: core.Mask = None,
):
    r"""AdaBelief divides an average of gradients by the spread of gradients around it.

    $$m \leftarrow \beta_1 m + (1-\beta_1) g,\quad
    s \leftarrow \beta_2 s + (1-\beta_2)(g-m)^2 + \bar\varepsilon,\quad
    \theta \leftarrow \theta - \eta\,
    \frac{m / (1-\beta_1^t)}{\sqrt{s / (1-\beta_2^t)} + \varepsilon}$$

    Args:
      learning_rate: step size η [parameter units per step], in [0, inf), or a schedule.
      b1: decay of the average of gradients, in [0, 1).
      b2: decay of the average of squared deviations, in [0, 1).
      eps: added to the root [gradient units], in [0, inf).
      eps_root: added to s at every step [squared gradient units], in [0, inf); it adds up
        to at most `eps_root / (1 - b2)`.
      nesterov: whether to look one step ahead, as Nadam does.
      weight_decay: decoupled decay λ, in [0, inf), scaled by the learning rate.
      mask: which parameters decay: a tree of bools or a function of params.

    Returns:
      The optimizer. State: 2 × params and a count.

    Raises:
      ValueError: a hyperparameter outside its range.

    References:
      Zhuang, Tang, Ding, Tatikonda, Dvornek, Papademetris and Duncan, "AdaBelief Optimizer:
      Adapting Stepsizes by the Belief in Observed Gradients", arXiv:2010.07468v5,
      Algorithm 2.

    Differs:
      `eps` and `eps_root` are one number in the paper. `nesterov` and the decay are not in
      its algorithm.

    Example:
      >>> import gradlab as gl
      >>> gl.adabelief(1e-3)
      adabelief(learning_rate=0.001, b1=0.9, b2=0.999, eps=1e-16, eps_root=1e-16)
    """


ENTRY = core.Entry(
    adabelief,
    formula="s = b2 * s + (1 - b2) * (g - m)**2 + eps_root; p -= lr * m_hat / (sqrt(s_hat) + eps)",
    paper=("M008",),
    example={"learning_rate": 1e-3},
    search_space={"learning_rate": (1e-4, 1e-2, "log"), "b1": (0.8, 0.99, "linear")},
)
