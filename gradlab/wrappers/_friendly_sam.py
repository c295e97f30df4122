"""Sharpness-aware minimisation along what is particular to a batch."""

from __future__ import annotations

from typing import Any

import jax
import optax

from gradlab import core
from gradlab.core import Params, Scalar, ScalarOrSchedule, Updates, hyper
from gradlab.optimizers.momentum import sgd
from gradlab.wrappers._displaced import Start, along
from gradlab.wrappers._turns import Ascending


class FriendlySam(Ascending):
    """Goes uphill for the batch, but not along the gradient that all batches share."""

    sigma: Scalar = hyper("[0, inf)")
    b1: Scalar = hyper("[0, 1)")

    def remembered(self, params: Params) -> Any:
        return core.moments_like(params)

    def ascent(self, start: Start) -> tuple[Updates, Any]:
        def leaf(h: Any, g: jax.Array, m: jax.Array) -> tuple:
            m = core.average(m, g, h.b1)
            return g - h.sigma * m, m

        noise, mu = self.each(leaf, start.own, start.memory)
        return along(self, noise), mu


@core.builds(FriendlySam)
def friendly_sam(
    inner: optax.GradientTransformation,
    rho: ScalarOrSchedule = 0.05,
    sigma: Scalar = 1.0,
    b1: Scalar = 0.9,
    *,
    sync_period: int | None = None,
    axis_name: Any = None,
    local_ascent: bool = False,
    has_aux: bool = False,
    aux_like: Any = None,
    aux_from: str = "last",
):
    r"""F-SAM goes uphill along the batch's own part of the gradient, not along the shared one.

    $$m \leftarrow \beta_1 m + (1-\beta_1)\,g,\quad d = g - \sigma m,\quad
    \theta \leftarrow \theta - \mathrm{inner}\Big(\nabla L\Big(\theta
    + \rho\,\frac{d}{\lVert d\rVert}\Big)\Big)$$

    The average m stands for the gradient of all data.

    Args:
      inner: the optimizer that descends.
      rho: length ρ of the ascent [norm of the parameters], in [0, inf), or a schedule of
        the descents.
      sigma: how much σ of the shared gradient is left out, in [0, inf). 0 is `sam`.
      b1: decay of the average of gradients, in [0, 1). The paper calls it λ.
      sync_period: as in `sam`.
      axis_name: as in `sam`.
      local_ascent: as in `sam`.
      has_aux: as in `sam`.
      aux_like: as in `sam`.
      aux_from: as in `sam`.

    Returns:
      The optimizer. State: 1 × params for the average, that of `inner` and a count; with
      `sync_period` 1 × params more. A step costs two gradients.

    Raises:
      TypeError: `inner` is no transformation, or `grad_fn` is missing.
      ValueError: a hyperparameter outside its range, or no parameters.

    References:
      Li, Zhou, He, Cheng and Huang, "Friendly Sharpness-Aware Minimization",
      arXiv:2403.12350v1, Algorithm 1.

    Differs:
      The authors' code starts the average at the first gradient and subtracts the average
      before it takes in the present one. For `sigma=1` that is the same direction, but for
      the start. With `local_ascent` each device has an average of its own.

    Example:
      >>> import gradlab as gl
      >>> gl.friendly_sam(gl.sgd(0.1), b1=0.6)
      friendly_sam(inner=sgd(learning_rate=0.1), rho=0.05, sigma=1.0, b1=0.6)
    """


ENTRY = core.Entry(
    friendly_sam,
    formula="m = b1 * m + (1 - b1) * g; d = g - sigma * m; p -= inner(grad_fn(p + rho * d / |d|))",
    paper=("li2024friendly",),
    example={"inner": sgd(0.01)},
    search_space={
        "rho": (1e-2, 1.0, "log"),
        "b1": (0.5, 0.99, "linear"),
        "learning_rate": (1e-3, 1.0, "log"),
    },
    needs=("grad_fn",),
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="The ascent turns round where the batch's own part of the gradient passes zero; "
        "its derivative there is taken as zero.",
        gradient_evaluations=2,
    ),
)
