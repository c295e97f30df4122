"""Gradient descent within a set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradlab import core
from gradlab.core import Params, Scalar, ScalarOrSchedule, hyper, static
from gradlab.optimizers.proximal._forward_backward import STORED, ForwardBackward
from gradlab.optimizers.proximal._functions import function
from gradlab.projections import projection_linf_ball
from gradlab.prox import make_prox_from_projection


class ProjectedGradient(ForwardBackward):
    """Backward by a projection."""

    projection: Callable[..., Any] = static(convert=function)
    hyperparams: Scalar | tuple[Scalar, ...] | None = hyper()

    def backward(self, tree: Params, rate: Any) -> Params:
        return make_prox_from_projection(self.projection)(tree, self.hyperparams, rate)


@core.builds(ProjectedGradient)
def projected_gradient(
    learning_rate: ScalarOrSchedule,
    projection: Callable[..., Any],
    hyperparams: Scalar | tuple[Scalar, ...] | None = None,
    acceleration: bool = False,
    restart: bool = False,
):
    r"""Projected gradient descent steps along the gradient, then to the nearest allowed point.

    $$\theta \leftarrow \operatorname{proj}_C(\theta - \eta\,g)$$

    Args:
      learning_rate: step size η [parameter units per gradient unit], in [0, inf), or a
        schedule.
      projection: the projection of a tree, as those of `gl.projections`.
      hyperparams: numbers that it is called with beside the tree: one, or a tuple of several;
        None: nothing.
      acceleration: whether parameters go beyond the allowed point, as in `proximal_gradient`.
      restart: whether that momentum starts anew where it points uphill.

    Returns:
      The optimizer. State: a count; with acceleration 1 × params more, and a number. Then
      `gl.eval_params` gives the allowed point.

    Raises:
      TypeError: `projection` is no function.
      ValueError: a hyperparameter outside its range, no parameters, or a restart without
        acceleration.

    References:
      Bertsekas, "On the Goldstein-Levitin-Polyak gradient projection method", IEEE Transactions on
      Automatic Control 21(2), 1976, equation 2, with a step size that is given. Beck and Teboulle,
      "A Fast Iterative Shrinkage-Thresholding Algorithm for Linear Inverse Problems", SIAM Journal
      on Imaging Sciences 2(1), 2009, section 4, for the acceleration.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> opt = gl.projected_gradient(0.5, gl.projections.projection_box, (0.0, 1.0))
      >>> p = jnp.array([1.0, 0.25])
      >>> opt.update(jnp.array([-1.0, 1.0]), opt.init(p), p)[0].tolist()
      [0.0, -0.25]
    """


ENTRY = core.Entry(
    projected_gradient,
    formula="p = projection(p - lr * g)",
    paper=("bertsekas1976goldstein",),
    example={
        "learning_rate": 0.05,
        "projection": projection_linf_ball,
        "hyperparams": 1.0,
        "acceleration": True,
    },
    search_space={"learning_rate": (1e-3, 1.0, "log")},
    traits=core.Traits(
        smooth=False,
        kinks="On the boundary of the set; the derivative is that of the projection.",
        temporaries=STORED,
        complex=False,
    ),
)
