"""Optimistic Adam: the next direction of Adam is guessed from the last two."""

from __future__ import annotations

from typing import Any

from gradlab import core
from gradlab.core import DType, Params, Scalar, ScalarOrSchedule, Updates, hyper, static
from gradlab.optimizers import adaptive
from gradlab.optimizers.games._optimistic_gradient_descent import ScaleByOptimisticGradient

ADAM = adaptive.scale_by_adam().rule


class OptimisticAdamV2(core.Optimizer, ScaleByOptimisticGradient):
    """The direction of Adam, optimism, decoupled weight decay, learning rate."""

    b1: Scalar = hyper("[0, 1)")
    b2: Scalar = hyper("[0, 1)")
    eps: Scalar = hyper("[0, inf)")
    eps_root: Scalar = hyper("[0, inf)")
    mu_dtype: DType | None = static(convert=core.dtype_or_none)
    nesterov: bool = static(convert=core.flag)

    def init(self, params: Params) -> tuple:
        return (self.adam().init(params), *super().init(params))

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, tuple]:
        adam, *rest = state
        updates, adam = self.adam().update(updates, adam, params)
        updates, rest = super().update(updates, tuple(rest), params, **extra)
        return updates, (adam, *rest)

    def in_order(self, state: Any, updates: Updates, params: Params | None) -> tuple:
        adam, *rest = state
        return (adam, *super().in_order(tuple(rest), updates, params))

    def schedule_counts(self, state: Any) -> dict[str, Any]:
        return super().schedule_counts(state[1:])

    def adam(self) -> core.Rule:
        """The rule that makes the directions."""
        names = (*ADAM.hyper_names, *ADAM.static_names)
        return ADAM.with_values(**{name: getattr(self, name) for name in names})


@core.builds(OptimisticAdamV2)
def optimistic_adam_v2(
    learning_rate: ScalarOrSchedule,
    *,
    alpha: Scalar = 1.0,
    beta: Scalar = 1.0,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    mu_dtype: DType | None = None,
    nesterov: bool = True,
    weight_decay: ScalarOrSchedule | None = None,
    mask: core.Mask = None,
):
    r"""Optimistic Adam adds to Adam's direction by how much it changed since the last step.

    $$\theta_{t+1} = \theta_t - \eta\,\big(\alpha r_t + \beta (r_t - r_{t-1})\big),\quad
    r_t = \frac{\hat m_t}{\sqrt{\hat v_t + \bar\varepsilon} + \varepsilon}$$

    with r₀ = r₁ at the first step, and the averages of `adam`.

    Args:
      learning_rate: step size η [parameter units per step], in [0, inf), or a schedule.
      alpha: weight α of the direction, in [0, inf).
      beta: weight β of its change, any real number; 0 gives Adam.
      b1: decay of the average of gradients, in [0, 1).
      b2: decay of the average of squared gradients, in [0, 1).
      eps: added to the root [gradient units], in [0, inf).
      eps_root: added under the root [squared gradient units], in [0, inf).
      mu_dtype: dtype in which the average of gradients is stored.
      nesterov: whether the average looks one step ahead, as Nadam's does.
      weight_decay: decoupled decay λ, in [0, inf), scaled by the learning rate. It does
        not pass through the optimism.
      mask: which parameters decay: a tree of bools or a function of params.

    Returns:
      The optimizer. State: 3 × params, a count and a flag.

    Raises:
      ValueError: a hyperparameter outside its range.

    References:
      Daskalakis, Ilyas, Syrgkanis and Zeng, "Training GANs with Optimism", arXiv:1711.00141v2,
      Algorithm 1.

    Differs:
      The paper has no `nesterov` (here on unless asked otherwise, as in optax), weighs
      direction and change alike, and starts with r₀ = 0. The decay is not in the paper.
      Beside optax: `alpha` is not negative.

    Example:
      >>> import gradlab as gl
      >>> gl.optimistic_adam_v2(1e-3, beta=0.5).beta
      0.5
    """


ENTRY = core.Entry(
    optimistic_adam_v2,
    formula="r = m_hat / (sqrt(v_hat) + eps); p -= lr * (alpha * r + beta * (r - r_previous))",
    paper=("daskalakis2018training",),
    example={"learning_rate": 1e-3},
    search_space={"learning_rate": (1e-4, 1e-2, "log"), "beta": (0.0, 2.0, "linear")},
    traits=core.Traits(temporaries="Adam's direction, which parameters and state both take in."),
)
