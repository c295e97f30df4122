"""Sharpness-aware minimisation with centralised gradients."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import Params, ScalarOrSchedule, Updates
from gradlab.optimizers.momentum import sgd
from gradlab.wrappers._displaced import Start, along
from gradlab.wrappers._turns import Ascending


class Gcsam(Ascending):
    """SAM without the mean of what feeds a unit."""

    def ascent(self, start: Start) -> tuple[Updates, Any]:
        return along(self, self.centralised(start.own)), start.memory

    def descend(
        self, gradients: Any, inner_state: Any, params: Params, **extra: Any
    ) -> tuple[Updates, Any]:
        return super().descend(self.centralised(gradients), inner_state, params, **extra)

    def centralised(self, gradients: Updates) -> Updates:
        """Gradients without their mean over the inputs of each output."""

        def leaf(h: Any, g: jax.Array) -> jax.Array:
            if g.ndim < 2 or g.size == 0:
                return g
            return g - jnp.mean(g, axis=tuple(range(g.ndim - 1)), keepdims=True)

        (centred,) = self.each(leaf, gradients)
        return centred


@core.builds(Gcsam)
def gcsam(
    inner: optax.GradientTransformation,
    rho: ScalarOrSchedule = 0.05,
    *,
    sync_period: int | None = None,
    axis_name: Any = None,
    local_ascent: bool = False,
    has_aux: bool = False,
    aux_like: Any = None,
    aux_from: str = "last",
):
    r"""GCSAM is SAM on gradients from which the mean over each unit's inputs is taken away.

    $$\theta \leftarrow \theta - \mathrm{inner}\Big(\Phi\,\nabla L\Big(\theta
    + \rho\,\frac{\Phi g}{\lVert \Phi g\rVert}\Big)\Big),\quad
    (\Phi g)_{ij} = g_{ij} - \tfrac{1}{n}\textstyle\sum_k g_{kj}$$

    Arrays are (..., inputs, outputs): the mean is over all axes but the last. Vectors and
    scalars are left as they are.

    Args:
      inner: the optimizer that descends. It sees the centralised gradients uphill.
      rho: length ρ of the ascent [norm of the parameters], in [0, inf), or a schedule of
        the descents.
      sync_period: as in `sam`.
      axis_name: as in `sam`.
      local_ascent: as in `sam`.
      has_aux: as in `sam`.
      aux_like: as in `sam`.
      aux_from: as in `sam`.

    Returns:
      The optimizer. State: that of `inner` and a count; with `sync_period` 1 × params more.
      A step costs two gradients.

    Raises:
      TypeError: `inner` is no transformation, or `grad_fn` is missing.
      ValueError: `rho` outside its range, or no parameters.

    References:
      Hassan, Vakanski, Zhang and Xian, "GCSAM: Gradient Centralized Sharpness Aware
      Minimization", arXiv:2501.11584v2.

    Differs:
      pytorch_optimizer divides by the norm before centralisation and leaves the gradient
      uphill as it is.

    Example:
      >>> import gradlab as gl
      >>> gl.gcsam(gl.sgd(0.1))
      gcsam(inner=sgd(learning_rate=0.1), rho=0.05)
    """


ENTRY = core.Entry(
    gcsam,
    formula="p -= inner(c(grad_fn(p + rho * c(g) / |c(g)|))); c(g) = g - mean of g over inputs",
    paper=("hassan2025gcsam",),
    example={"inner": sgd(0.01)},
    search_space={"rho": (1e-2, 1.0, "log"), "learning_rate": (1e-3, 1.0, "log")},
    needs=("grad_fn",),
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="The ascent turns round where the centralised gradient passes zero; its "
        "derivative there is taken as zero.",
        gradient_evaluations=2,
    ),
)
