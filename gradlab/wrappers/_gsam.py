"""Sharpness-aware minimisation that also closes the gap to the worst place nearby."""

from __future__ import annotations

from typing import Any

import jax
import optax

from gradlab import core
from gradlab.core import Scalar, ScalarOrSchedule, Updates, hyper
from gradlab.optimizers.momentum import sgd
from gradlab.wrappers._displaced import Displaced, Start, along


class Gsam(Displaced):
    """Climbs, in directions in which the loss uphill is level, towards that loss."""

    rho: ScalarOrSchedule = hyper("[0, inf)")
    alpha: Scalar = hyper("[0, inf)")

    def ascent(self, start: Start) -> tuple[Updates, Any]:
        return along(self, start.own), start.memory

    def combined(self, here: Updates, there: Updates) -> Updates:
        share = core.divide(core.inner_product(here, there), core.inner_product(there, there))

        def leaf(h: Any, g: jax.Array, t: jax.Array) -> jax.Array:
            return t - h.alpha * (g - share.astype(g.real.dtype) * t)

        (gradients,) = self.each(leaf, here, reads=(there,))
        return gradients


@core.builds(Gsam)
def gsam(
    inner: optax.GradientTransformation,
    rho: ScalarOrSchedule = 0.05,
    alpha: Scalar = 0.4,
    *,
    axis_name: Any = None,
    local_ascent: bool = False,
    has_aux: bool = False,
    aux_like: Any = None,
    aux_from: str = "last",
):
    r"""GSAM is SAM that also ascends where the worst loss nearby does not change.

    $$\theta \leftarrow \theta - \mathrm{inner}\Big(g_p - \alpha\Big(g
    - \frac{\langle g, g_p\rangle}{\lVert g_p\rVert^2}\,g_p\Big)\Big),\quad
    g_p = \nabla L\Big(\theta + \rho\,\frac{g}{\lVert g\rVert}\Big)$$

    so that the gap between the loss uphill and the loss here, the surrogate of sharpness,
    shrinks too.

    Args:
      inner: the optimizer that descends.
      rho: length ρ of the ascent [norm of the parameters], in [0, inf), or a schedule of
        the steps; the paper lets it fall with the learning rate.
      alpha: weight α of the ascent across, in [0, inf). 0 is `sam`.
      axis_name: as in `sam`.
      local_ascent: as in `sam`.
      has_aux: as in `sam`.
      aux_like: as in `sam`.
      aux_from: as in `sam`.

    Returns:
      The optimizer. State: that of `inner` and a count. A step costs two gradients.

    Raises:
      TypeError: `inner` is no transformation, or `grad_fn` is missing.
      ValueError: a hyperparameter outside its range, or no parameters.

    References:
      Zhuang, Gong, Yuan, Cui, Adam, Dvornek, Tatikonda, Duncan and Liu, "Surrogate Gap
      Minimization Improves Sharpness-Aware Training", arXiv:2203.08065v2, Algorithm 1.

    Differs:
      On several devices gradients are averaged before they are decomposed; the authors'
      code decomposes on each.

    Example:
      >>> import gradlab as gl
      >>> gl.gsam(gl.sgd(0.1), gl.linear_schedule(0.5, 0.1, 100)).alpha
      0.4
    """


ENTRY = core.Entry(
    gsam,
    formula="p -= inner(t - alpha * (g - <g, t> / |t|**2 * t)); t = grad_fn(p + rho * g / |g|)",
    paper=("zhuang2022surrogate",),
    example={"inner": sgd(0.01)},
    search_space={
        "rho": (1e-2, 1.0, "log"),
        "alpha": (1e-2, 1.0, "log"),
        "learning_rate": (1e-3, 1.0, "log"),
    },
    needs=("grad_fn",),
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="The ascent turns round where the gradient passes zero; its derivative there is "
        "taken as zero.",
        gradient_evaluations=2,
    ),
)
