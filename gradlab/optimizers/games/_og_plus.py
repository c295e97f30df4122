"""OG+: optimistic gradient steps that look ahead farther than they go."""

from __future__ import annotations

from typing import Any, NamedTuple

import optax

from gradlab import core
from gradlab.core import Params, ScalarOrSchedule, Updates, hyper


class OGPlusState(NamedTuple):
    """How far the parameters are ahead of the base point."""

    count: Any
    ahead: Any


class OGPlus(core.Optimizer):
    """Optimistic gradient with separate rates for the step and for looking ahead."""

    written_last = ("ahead",)
    extrapolation_rate: ScalarOrSchedule = hyper("[0, inf)")

    def init(self, params: Params) -> tuple:
        return (core.init_moments(OGPlusState, params), *self.init_scaling(params))

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, tuple]:
        own, *scaling = state
        steps, scaling = self.scale(updates, tuple(scaling), params)
        rule = self.with_values(extrapolation_rate=core.at(self.extrapolation_rate, own.count))

        def leaf(h: Any, step: Any, ahead: Any, g: Any) -> tuple:
            new = -h.extrapolation_rate * g
            return step + new - ahead, new

        updates, ahead = rule.each(leaf, steps, own.ahead, reads=(updates,))
        return updates, (OGPlusState(optax.safe_increment(own.count), ahead), *scaling)

    def schedule_counts(self, state: Any) -> dict[str, Any]:
        return super().schedule_counts(state) | {"extrapolation_rate": state[0].count}


@core.builds(OGPlus)
def og_plus(
    learning_rate: ScalarOrSchedule,
    extrapolation_rate: ScalarOrSchedule,
    *,
    weight_decay: ScalarOrSchedule | None = None,
    mask: core.Mask = None,
):
    r"""OG+ steps from a base point, along gradients taken farther ahead than it steps.

    $$X_{t+\frac12} = X_t - \gamma_t\, g_{t-1},\quad X_{t+1} = X_t - \eta_{t+1}\, g_t$$

    where g_t is the gradient at the leading point X_{t+½} and g₀ = 0. The parameters are the
    leading points, of which one gradient is taken in each step; the base point is
    `params - state[0].ahead`. With γ ≥ η, and η falling faster where the noise is larger,
    players of a game look far enough ahead to turn inwards and average the noise out.

    Args:
      learning_rate: step size η of the base point [parameter units per gradient unit], in
        [0, inf), or a schedule.
      extrapolation_rate: how far γ to look ahead [parameter units per gradient unit], in
        [0, inf), or a schedule; not below the learning rate. Both schedules say what they say
        of the step's count, which is 0 when the first gradient comes.
      weight_decay: decoupled decay λ of the base point, in [0, inf), scaled by the learning
        rate and read at the leading point.
      mask: which parameters decay: a tree of bools or a function of params.

    Returns:
      The optimizer. State: 1 × params and a count.

    Raises:
      ValueError: a hyperparameter outside its range.

    References:
      Hsieh, Antonakopoulos, Cevher and Mertikopoulos, "No-Regret Learning in Games with Noisy
      Feedback: Faster Rates and Adaptivity via Learning Rate Separation", arXiv:2206.06015v2,
      OG+ with rates that are given, not adapted.

    Differs:
      There is no constraint set. The decay is not in the paper.

    Example:
      >>> import gradlab as gl
      >>> gl.og_plus(0.05, 0.2)
      og_plus(learning_rate=0.05, extrapolation_rate=0.2)
    """


ENTRY = core.Entry(
    og_plus,
    formula="p_base -= lr * g; p = p_base - extrapolation_rate * g",
    paper=("M034",),
    example={"learning_rate": 0.01, "extrapolation_rate": 0.02},
    search_space={
        "learning_rate": (1e-3, 1.0, "log"),
        "extrapolation_rate": (1e-3, 1.0, "log"),
    },
)
