"""Sharpness-aware minimisation without normalisation, and with that of the whole data."""

from __future__ import annotations

from typing import Any

import optax

from gradlab import core
from gradlab.core import ScalarOrSchedule, Updates
from gradlab.optimizers.momentum import sgd
from gradlab.wrappers._displaced import Start
from gradlab.wrappers._turns import Ascending


class Usam(Ascending):
    """Goes uphill the further, the steeper it is."""

    def ascent(self, start: Start) -> tuple[Updates, Any]:
        (moves,) = self.each(lambda h, g: h.rho * g, start.own)
        return moves, start.memory


@core.builds(Usam)
def usam(
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
    r"""USAM is SAM with an ascent as long as the gradient makes it, not of fixed length.

    $$\theta \leftarrow \theta - \mathrm{inner}\big(\nabla L(\theta + \rho\,g)\big),
    \quad g = \nabla L(\theta)$$

    To first order it descends L + (ρ/2) ‖∇L‖².

    Args:
      inner: the optimizer that descends.
      rho: step size ρ of the ascent [parameter units per gradient], in [0, inf), or a
        schedule of the descents.
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
      Monzio Compagnoni, Biggio, Orvieto, Proske, Kersting and Lucchi, "An SDE for Modeling
      SAM: Theory and Insights", arXiv:2301.08203v3, the definition of USAM.

    Example:
      >>> import gradlab as gl, jax
      >>> opt, grad_fn = gl.usam(gl.sgd(0.1), rho=0.25), jax.grad(lambda x: x**2)
      >>> update, _ = opt.update(grad_fn(1.0), opt.init(1.0), 1.0, grad_fn=grad_fn)
      >>> float(update)
      -0.30000001192092896
    """


ENTRY = core.Entry(
    usam,
    formula="p -= inner(grad_fn(p + rho * g))",
    paper=("M114",),
    example={"inner": sgd(0.01), "rho": 1e-3},
    search_space={"rho": (1e-3, 1.0, "log"), "learning_rate": (1e-3, 1.0, "log")},
    needs=("grad_fn",),
    traits=core.Traits(elementwise=False, gradient_evaluations=2),
)
