"""Sharpness-aware minimisation that is normalised by the gradient of the whole data."""

from __future__ import annotations

from typing import Any

import jax
import optax

from gradlab import core
from gradlab.core import ScalarOrSchedule, Updates
from gradlab.optimizers.momentum import sgd
from gradlab.wrappers._displaced import Start
from gradlab.wrappers._turns import Ascending


class Dnsam(Ascending):
    """Goes uphill along a batch's gradient, in units of the length of the whole data's."""

    needs = ("grad",)

    def ascent(self, start: Start) -> tuple[Updates, Any]:
        size = core.global_norm(start.extra["grad"])

        def leaf(h: Any, g: jax.Array) -> jax.Array:
            return h.rho * core.divide(g, size.astype(g.real.dtype))

        (moves,) = self.each(leaf, start.own)
        return moves, start.memory


@core.builds(Dnsam)
def dnsam(
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
    r"""DNSAM is SAM whose ascent is normalised by the gradient of all data, not of the batch.

    $$\theta \leftarrow \theta - \mathrm{inner}\Big(\nabla L_B\Big(\theta
    + \rho\,\frac{\nabla L_B(\theta)}{\lVert \nabla L(\theta) \rVert}\Big)\Big)$$

    with the loss of a batch, L_B, and that of all data, L. The gradient of all data is the
    extra argument `grad`; its norm alone, a scalar, does as well, so that a running estimate
    can take its place: `opt.update(grads, state, params, grad=norm, grad_fn=grad_fn)`.

    Args:
      inner: the optimizer that descends.
      rho: length ρ of the ascent where the batch is all data [norm of the parameters], in
        [0, inf), or a schedule of the descents.
      sync_period: as in `sam`.
      axis_name: as in `sam`.
      local_ascent: as in `sam`.
      has_aux: as in `sam`.
      aux_like: as in `sam`.
      aux_from: as in `sam`.

    Returns:
      The optimizer. State: that of `inner` and a count; with `sync_period` 1 × params more.
      A step costs two gradients of the batch, besides what `grad` took.

    Raises:
      TypeError: `inner` is no transformation, or `grad` or `grad_fn` is missing.
      ValueError: `rho` outside its range, or no parameters.

    References:
      Monzio Compagnoni, Biggio, Orvieto, Proske, Kersting and Lucchi, "An SDE for Modeling
      SAM: Theory and Insights", arXiv:2301.08203v3, the definition of DNSAM.

    Differs:
      Where the gradient of all data is exactly zero there is no ascent.

    Example:
      >>> import gradlab as gl, jax
      >>> opt, grad_fn = gl.dnsam(gl.sgd(0.1), rho=0.5), jax.grad(lambda x: x**2)
      >>> extra = {"grad": 4.0, "grad_fn": grad_fn}
      >>> update, _ = opt.update(grad_fn(1.0), opt.init(1.0), 1.0, **extra)
      >>> float(update)
      -0.25
    """


ENTRY = core.Entry(
    dnsam,
    formula="p -= inner(grad_fn(p + rho * g / |grad|))",
    paper=("M114",),
    example={"inner": sgd(0.01)},
    search_space={"rho": (1e-2, 1.0, "log"), "learning_rate": (1e-3, 1.0, "log")},
    needs=("grad", "grad_fn"),
    traits=core.Traits(elementwise=False, gradient_evaluations=2),
)
