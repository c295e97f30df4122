"""Optimistic gradient descent: the next gradient is guessed from the last two."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import Params, Scalar, ScalarOrSchedule, Updates, hyper


class ScaleByOptimisticGradient(core.Rule):
    """The direction of optimistic gradient descent."""

    written_last = ("previous_gradient",)
    alpha: Scalar = hyper("[0, inf)")
    beta: Scalar = hyper()

    def init(self, params: Params) -> Any:
        # Optax's type of state has no public name.
        state: Any = optax.scale_by_optimistic_gradient().init(())
        return state._replace(previous_gradient=core.moments_like(params))

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, Any]:
        def leaf(h: Any, g: Any, previous: Any) -> tuple:
            previous = jnp.where(state.is_initial_step, g, previous)
            return (h.alpha + h.beta) * g - h.beta * previous, g

        updates, previous = self.each(leaf, updates, state.previous_gradient)
        return updates, state._replace(is_initial_step=jnp.array(False), previous_gradient=previous)


class OptimisticGradientDescent(core.Optimizer, ScaleByOptimisticGradient):
    """Optimistic gradient descent, with an optional decoupled weight decay."""


@core.builds(ScaleByOptimisticGradient)
def scale_by_optimistic_gradient(alpha: Scalar = 1.0, beta: Scalar = 1.0):
    """The direction alone, without learning rate; arguments as in `optimistic_gradient_descent`."""


@core.builds(OptimisticGradientDescent)
def optimistic_gradient_descent(
    learning_rate: ScalarOrSchedule,
    alpha: Scalar = 1.0,
    beta: Scalar = 1.0,
    *,
    weight_decay: ScalarOrSchedule | None = None,
    mask: core.Mask = None,
):
    r"""Optimistic gradient descent adds to the gradient by how much it changed since the last one.

    $$\theta_{t+1} = \theta_t - \eta\,\big(\alpha g_t + \beta (g_t - g_{t-1})\big)$$

    with g₀ = g₁ at the first step. It converges on games, such as the bilinear one, around
    whose solution gradient descent turns outwards. `params` holds those of all players and
    the gradient each player's of its own loss.

    Args:
      learning_rate: step size η [parameter units per gradient unit], in [0, inf), or a
        schedule.
      alpha: weight α of the gradient, in [0, inf).
      beta: weight β of its change, any real number; 0 gives gradient descent.
      weight_decay: decoupled decay λ, in [0, inf), scaled by the learning rate.
      mask: which parameters decay: a tree of bools or a function of params.

    Returns:
      The optimizer. State: 1 × params and a flag.

    Raises:
      ValueError: a hyperparameter outside its range.

    References:
      Mokhtari, Ozdaglar and Pattathil, "A Unified Analysis of Extra-gradient and Optimistic
      Gradient Methods for Saddle Point Problems: Proximal Point Approach", arXiv:1901.08511v4,
      generalized OGDA with the weights η α and η β.

    Differs:
      The decay is not in the paper. Beside optax: `alpha` is not negative, and with parameters
      of fewer than 32 bits the last gradient is kept in float32.

    Example:
      >>> import gradlab as gl
      >>> gl.optimistic_gradient_descent(0.1)
      optimistic_gradient_descent(learning_rate=0.1, alpha=1.0, beta=1.0)
    """


ENTRY = core.Entry(
    optimistic_gradient_descent,
    formula="p -= lr * (alpha * g + beta * (g - g_previous))",
    paper=("mokhtari2020unified",),
    example={"learning_rate": 0.01},
    search_space={"learning_rate": (1e-3, 1.0, "log"), "beta": (0.0, 2.0, "linear")},
)
