"""Optimistic Adam with the rate of its optimism as a number of its own."""

from __future__ import annotations

from typing import Any

from gradlab import core
from gradlab.core import DType, Params, Scalar, Updates, hyper, static
from gradlab.optimizers.games._optimistic_adam_v2 import OptimisticAdamV2


class OptimisticAdam(core.Rule):
    """Optimistic Adam in which the learning rate weighs the direction, not its change."""

    learning_rate: Scalar = hyper("[0, inf)")
    optimism: Scalar | None = hyper()
    b1: Scalar = hyper("[0, 1)")
    b2: Scalar = hyper("[0, 1)")
    eps: Scalar = hyper("[0, inf)")
    eps_root: Scalar = hyper("[0, inf)")
    mu_dtype: DType | None = static(convert=core.dtype_or_none)
    nesterov: bool = static(convert=core.flag)

    def init(self, params: Params) -> tuple:
        return self.at_rate_one().init(params)

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, tuple]:
        return self.at_rate_one().update(updates, state, params, **extra)

    def in_order(self, state: Any, updates: Updates, params: Params | None) -> tuple:
        return self.at_rate_one().in_order(state, updates, params)

    def at_rate_one(self) -> OptimisticAdamV2:
        """The same with a learning rate of one, direction and change weighed beforehand."""
        rate: Any = self.learning_rate
        beta = rate if self.optimism is None else self.optimism
        names = ("b1", "b2", "eps", "eps_root", "mu_dtype", "nesterov")
        adam = {name: getattr(self, name) for name in names}
        return OptimisticAdamV2(learning_rate=1.0, alpha=rate, beta=beta, **adam)


@core.builds(OptimisticAdam)
def optimistic_adam(
    learning_rate: Scalar,
    optimism: Scalar | None = None,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    mu_dtype: DType | None = None,
    *,
    nesterov: bool = True,
):
    r"""Optimistic Adam with separate rates for Adam's direction and for its change.

    $$\theta_{t+1} = \theta_t - \eta\, r_t - o\,(r_t - r_{t-1}),\quad
    r_t = \frac{\hat m_t}{\sqrt{\hat v_t + \bar\varepsilon} + \varepsilon}$$

    with r₀ = r₁ at the first step, and the averages of `adam`. `optimistic_adam_v2` says the
    same with one learning rate for both, which may be a schedule, and can decay weights.

    Args:
      learning_rate: step size η [parameter units per step], in [0, inf); no schedule.
      optimism: rate o of the change [parameter units per step], any real number. None: η.
      b1: decay of the average of gradients, in [0, 1).
      b2: decay of the average of squared gradients, in [0, 1).
      eps: added to the root [gradient units], in [0, inf).
      eps_root: added under the root [squared gradient units], in [0, inf).
      mu_dtype: dtype in which the average of gradients is stored.
      nesterov: whether the average looks one step ahead, as Nadam's does.

    Returns:
      The optimizer. State: 3 × params, a count and a flag.

    Raises:
      ValueError: a hyperparameter outside its range.
      TypeError: a schedule as the learning rate.

    References:
      Daskalakis, Ilyas, Syrgkanis and Zeng, "Training GANs with Optimism", arXiv:1711.00141v2,
      Algorithm 1.

    Differs:
      The paper has no `nesterov` (here on unless asked otherwise, as in optax), one rate for
      both, and starts with r₀ = 0. Optax warns that its function is going to be replaced by
      `optimistic_adam_v2`; this one stays.

    Example:
      >>> import gradlab as gl
      >>> gl.optimistic_adam(1e-2, 1.0).optimism
      1.0
    """


ENTRY = core.Entry(
    optimistic_adam,
    formula="r = m_hat / (sqrt(v_hat) + eps); p -= lr * r + optimism * (r - r_previous)",
    paper=("daskalakis2018training",),
    example={"learning_rate": 1e-3},
    search_space={"learning_rate": (1e-4, 1e-2, "log"), "optimism": (1e-4, 1.0, "log")},
    traits=core.Traits(temporaries="Adam's direction, which parameters and state both take in."),
)
