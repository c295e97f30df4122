"""Sharpness as a regulariser with a weight of its own."""

from __future__ import annotations

from typing import Any

import jax
import optax

from gradlab import core
from gradlab.core import Params, Scalar, ScalarOrSchedule, Updates, hyper
from gradlab.optimizers.momentum import sgd
from gradlab.wrappers._displaced import Displaced, Start, along


class Wsam(Displaced):
    """Weighs the slope of sharpness against that of the loss."""

    rho: ScalarOrSchedule = hyper("[0, inf)")
    gamma: Scalar = hyper("[0, 1)")
    sharpness_rate: ScalarOrSchedule | None = hyper("[0, inf)")

    def ascent(self, start: Start) -> tuple[Updates, Any]:
        return along(self, start.own), start.memory

    def combined(self, here: Updates, there: Updates) -> Any:
        def slope(h: Any, g: jax.Array, t: jax.Array) -> jax.Array:
            return h.gamma / (1 - h.gamma) * (t - g)

        (sharpness,) = self.each(slope, here, reads=(there,))
        if self.sharpness_rate is not None:
            return here, sharpness
        (both,) = self.each(lambda h, s, g: g + s, sharpness, reads=(here,))
        return both

    def descend(
        self, gradients: Any, inner_state: Any, params: Params, **extra: Any
    ) -> tuple[Updates, Any]:
        if self.sharpness_rate is None:
            return super().descend(gradients, inner_state, params, **extra)
        here, sharpness = gradients
        updates, inner_state = super().descend(here, inner_state, params, **extra)
        step = self.each(lambda h, s, u: u - h.sharpness_rate * s, sharpness, reads=(updates,))
        return step[0], inner_state


@core.builds(Wsam)
def wsam(
    inner: optax.GradientTransformation,
    rho: ScalarOrSchedule = 0.05,
    gamma: Scalar = 0.9,
    *,
    sharpness_rate: ScalarOrSchedule | None = None,
    axis_name: Any = None,
    local_ascent: bool = False,
    has_aux: bool = False,
    aux_like: Any = None,
    aux_from: str = "last",
):
    r"""WSAM descends the loss plus a multiple of its sharpness; SAM's multiple is one.

    $$\theta \leftarrow \theta - \mathrm{inner}\Big(g + \frac{\gamma}{1-\gamma}\,(g_p - g)
    \Big),\quad g_p = \nabla L\Big(\theta + \rho\,\frac{g}{\lVert g\rVert}\Big)$$

    or, decoupled, with the inner optimizer on g alone and the sharpness beside it:

    $$\theta \leftarrow \theta - \mathrm{inner}(g)
    - \eta_s\,\frac{\gamma}{1-\gamma}\,(g_p - g)$$

    Args:
      inner: the optimizer that descends.
      rho: length ρ of the ascent [norm of the parameters], in [0, inf), or a schedule of
        the steps.
      gamma: weight γ of sharpness, in [0, 1). 0 is `inner` alone, 0.5 is `sam`.
      sharpness_rate: step size η_s of the decoupled sharpness [parameter units per step],
        in [0, inf), or a schedule; the paper takes the learning rate of `inner`. None:
        sharpness is part of the gradient that `inner` gets.
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
      Yue, Jiang, Ye, Gao, Liu and Zhang, "Sharpness-Aware Minimization Revisited: Weighted
      Sharpness as a Regularization Term", arXiv:2305.15817v2, Algorithms 1 and 2.

    Differs:
      Decoupling has a rate of its own, as a wrapper cannot know that of any inner
      optimizer, and is off by default. There is no clipping: chain it.

    Example:
      >>> import gradlab as gl
      >>> gl.hyperparameters(gl.wsam(gl.adam(1e-3), sharpness_rate=1e-3))["sharpness_rate"]
      0.001
    """


ENTRY = core.Entry(
    wsam,
    formula="p -= inner(g + gamma / (1 - gamma) * (grad_fn(p + rho * g / |g|) - g))",
    paper=("yue2023sharpness",),
    example={"inner": sgd(0.01)},
    search_space={
        "rho": (1e-2, 1.0, "log"),
        "gamma": (0.5, 0.98, "linear"),
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
