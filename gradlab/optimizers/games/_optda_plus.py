"""OptDA+: dual averaging that looks ahead."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import optax

from gradlab import core
from gradlab.core import Params, ScalarOrSchedule, Updates, hyper


class OptDAPlusState(NamedTuple):
    """The sum of gradients, and how far the parameters are from where they began."""

    count: Any
    gradient_sum: Any
    displacement: Any


class OptDAPlus(core.Rule):
    """Optimistic dual averaging with separate rates for the step and for looking ahead."""

    written_last = ("displacement",)
    learning_rate: ScalarOrSchedule = hyper("[0, inf)")
    extrapolation_rate: ScalarOrSchedule = hyper("[0, inf)")

    def init(self, params: Params) -> OptDAPlusState:
        return core.init_moments(OptDAPlusState, params)

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, OptDAPlusState]:
        rates = {n: core.at(getattr(self, n), c) for n, c in self.schedule_counts(state).items()}

        def leaf(h: Any, g: jax.Array, total: Any, old: Any) -> tuple:
            total = total + g
            new = -h.learning_rate * total - h.extrapolation_rate * g
            return new - old, total, new

        rule = self.with_values(**rates)
        updates, total, new = rule.each(leaf, updates, state.gradient_sum, state.displacement)
        return updates, OptDAPlusState(optax.safe_increment(state.count), total, new)

    def in_order(self, state: Any, updates: Updates, params: Params | None) -> Any:
        return core.written_after_params(state, self.written_last, updates, params)

    def schedule_counts(self, state: Any) -> dict[str, Any]:
        return dict.fromkeys(("learning_rate", "extrapolation_rate"), state.count)


@core.builds(OptDAPlus)
def optda_plus(learning_rate: ScalarOrSchedule, extrapolation_rate: ScalarOrSchedule):
    r"""OptDA+ steps from where it began along the sum of gradients, which it takes ahead of it.

    $$X_{t+\frac12} = X_t - \gamma_t\, g_{t-1},\quad
    X_{t+1} = X_1 - \eta_{t+1} \sum_{s=1}^{t} g_s$$

    where g_t is the gradient at the leading point X_{t+½} and g₀ = 0. The parameters are the
    leading points. A falling η draws past steps back, too, so that early gradients count no
    more than late ones; with a constant one this is `og_plus`.

    Args:
      learning_rate: rate η of the sum [parameter units per gradient unit], in [0, inf), or a
        schedule.
      extrapolation_rate: how far γ to look ahead [parameter units per gradient unit], in
        [0, inf), or a schedule; not below the learning rate. Both schedules say what they say
        of the step's count, which is 0 when the first gradient comes.

    Returns:
      The optimizer. State: 2 × params and a count.

    Raises:
      ValueError: a hyperparameter outside its range.

    References:
      Hsieh, Antonakopoulos, Cevher and Mertikopoulos, "No-Regret Learning in Games with Noisy
      Feedback: Faster Rates and Adaptivity via Learning Rate Separation", arXiv:2206.06015v2,
      OptDA+ with rates that are given, not adapted.

    Differs:
      There is no constraint set. There is no weight decay: what has moved the parameters beside
      the sum would not be drawn back with it.

    Example:
      >>> import gradlab as gl
      >>> gl.optda_plus(0.05, 0.2)
      optda_plus(learning_rate=0.05, extrapolation_rate=0.2)
    """


ENTRY = core.Entry(
    optda_plus,
    formula="p = p_start - lr * sum(g) - extrapolation_rate * g",
    paper=("M034",),
    example={"learning_rate": 0.01, "extrapolation_rate": 0.02},
    search_space={
        "learning_rate": (1e-3, 1.0, "log"),
        "extrapolation_rate": (1e-3, 1.0, "log"),
    },
    traits=core.Traits(temporaries="The displacement, which parameters and state both take in."),
)
