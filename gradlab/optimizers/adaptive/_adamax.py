"""AdaMax: Adam with the infinity norm."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import Params, Scalar, ScalarOrSchedule, Updates, hyper


class ScaleByAdamax(core.Rule):
    """The direction of AdaMax."""

    b1: Scalar = hyper("[0, 1)")
    b2: Scalar = hyper("[0, 1]")
    eps: Scalar = hyper("[0, inf)")

    def init(self, params: Params) -> optax.ScaleByAdamState:
        return core.init_moments(optax.ScaleByAdamState, params)

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, optax.ScaleByAdamState]:
        count = optax.safe_increment(state.count)

        def leaf(h: Any, g: Any, m: Any, u: Any) -> tuple:
            m = core.average(m, g, h.b1)
            u = jnp.maximum(jnp.abs(g) + h.eps, h.b2 * u.real)
            return core.divide(core.debias(m, h.b1, count), u), m, u

        updates, mu, nu = self.each(leaf, updates, state.mu, state.nu)
        return updates, optax.ScaleByAdamState(count, mu, nu)


class Adamax(core.Optimizer, ScaleByAdamax):
    """AdaMax, with an optional decoupled weight decay."""


@core.builds(Adamax)
def adamax(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    weight_decay: ScalarOrSchedule | None = None,
    mask: core.Mask = None,
):
    r"""AdaMax divides an average of gradients by their decaying largest size.

    $$u \leftarrow \max(\beta_2 u, |g| + \varepsilon),\quad
    \theta \leftarrow \theta - \eta\,\frac{m / (1-\beta_1^t)}{u}$$

    where m is the average of Adam.

    Args:
      learning_rate: step size η [parameter units per step], in [0, inf), or a schedule.
      b1: decay of the average of gradients, in [0, 1).
      b2: decay of the largest size, in [0, 1]; 1 never forgets.
      eps: added to the size of the gradient [gradient units], in [0, inf).
      weight_decay: decoupled decay λ, in [0, inf), scaled by the learning rate.
      mask: which parameters decay: a tree of bools or a function of params.

    Returns:
      The optimizer. State: 2 × params and a count.

    Raises:
      ValueError: a hyperparameter outside its range.

    References:
      Kingma and Ba, "Adam: A Method for Stochastic Optimization", arXiv:1412.6980v9,
      Algorithm 2.

    Differs:
      The paper has no `eps`, and so divides zero by zero where no gradient has come yet;
      with `eps=0` such a coordinate rests here. The decay is not in the paper.

    Example:
      >>> import gradlab as gl
      >>> gl.adamax(2e-3)
      adamax(learning_rate=0.002, b1=0.9, b2=0.999, eps=1e-08)
    """


ENTRY = core.Entry(
    adamax,
    formula="u = max(b2 * u, |g| + eps); p -= lr * m_hat / u",
    paper=("M009",),
    example={"learning_rate": 2e-3},
    search_space={"learning_rate": (1e-4, 1e-2, "log"), "b1": (0.8, 0.99, "linear")},
    traits=core.Traits(
        smooth=False, kinks="At zero, and where the gradient overtakes the largest size."
    ),
)
