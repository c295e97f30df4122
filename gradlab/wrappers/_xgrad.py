"""Gradients at predicted weights."""

from __future__ import annotations

import optax

from gradlab import core
from gradlab.core import ScalarOrSchedule, Updates, hyper
from gradlab.optimizers.momentum import sgd
from gradlab.wrappers._ahead import Ahead


class Xgrad(Ahead):
    """Holds the parameters where the last update, made again, would lead."""

    steps: ScalarOrSchedule = hyper("[0, inf)")

    def displacement(self, updates: Updates) -> Updates:
        (moves,) = self.each(lambda h, u: h.steps * u, updates)
        return moves


@core.builds(Xgrad)
def xgrad(inner: optax.GradientTransformation, steps: ScalarOrSchedule = 1.0):
    r"""XGrad takes gradients where the last update, made again, would lead.

    $$\theta_{t+1} = \theta_t + u_t,\quad
    u_t = \mathrm{inner}\big(\nabla L(\theta_t + s\,u_{t-1})\big)$$

    The parameters that are trained are the predicted ones, θ + s u, so that a step costs
    one gradient and the training loop stays as it is. `gl.eval_params(opt, state, params)`
    gives θ, for evaluation.

    Around `sgd` with a momentum of s it is Nesterov's method.

    Args:
      inner: the optimizer. It sees the gradient of the predicted parameters, and θ.
      steps: how many steps s ahead the prediction is, in [0, inf), or a schedule. 0 is
        `inner` alone.

    Returns:
      The optimizer. State: 1 × params, that of `inner` and a count.

    Raises:
      TypeError: `inner` is no transformation.
      ValueError: `steps` outside its range.

    References:
      Guan, Li, Shi and Meng, "XGrad: Boosting Gradient-Based Optimizers With Weight
      Prediction", arXiv:2305.18240v2, Algorithm 1.

    Differs:
      The prediction is the last update as a whole, for whatever inner optimizer: with its
      weight decay and at the learning rate that it had. The paper has a formula for each.

    Example:
      >>> import gradlab as gl
      >>> gl.xgrad(gl.adamw(1e-3)).steps
      1.0
    """


ENTRY = core.Entry(
    xgrad,
    formula="p += u; u = inner(grad at p + steps * u)",
    paper=("M102",),
    example={"inner": sgd(0.01, momentum=0.9)},
    search_space={"steps": (0.1, 3.0, "linear"), "learning_rate": (1e-3, 1.0, "log")},
    traits=core.Traits(
        temporaries="The inner update goes into the parameters and into the displacement, and "
        "the old displacement is read by both.",
    ),
)
