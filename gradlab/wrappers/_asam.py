"""Adaptive sharpness-aware minimisation: distances are relative to the weights."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import Params, Scalar, ScalarOrSchedule, Updates, hyper, static
from gradlab.optimizers.momentum import sgd
from gradlab.wrappers._displaced import Start, along
from gradlab.wrappers._turns import Ascending


class Asam(Ascending):
    """SAM in coordinates in which every weight has about the same size."""

    eps: Scalar = hyper("[0, inf)")
    mask: core.Mask = static()

    def ascent(self, start: Start) -> tuple[Updates, Any]:
        sizes = self.sizes(start.params)
        (scaled,) = self.each(lambda h, g, t: t * g, start.own, reads=(sizes,))
        (moves,) = self.each(lambda h, m, t: t * m, along(self, scaled), reads=(sizes,))
        return moves, start.memory

    def sizes(self, params: Params) -> Any:
        """The unit in which each weight is measured."""
        (sizes,) = self.each(lambda h, p: core.absolute(p) + h.eps, params)
        if self.mask is None:
            return sizes
        chosen = core.decay_mask(self.mask, params)
        return jax.tree.map(lambda keep, t: t if keep else jnp.ones_like(t), chosen, sizes)


@core.builds(Asam)
def asam(
    inner: optax.GradientTransformation,
    rho: ScalarOrSchedule = 0.5,
    eps: Scalar = 0.01,
    *,
    mask: core.Mask = None,
    sync_period: int | None = None,
    axis_name: Any = None,
    local_ascent: bool = False,
    has_aux: bool = False,
    aux_like: Any = None,
    aux_from: str = "last",
):
    r"""ASAM is SAM with distances measured in units of the weights, so that scale is no matter.

    $$\theta \leftarrow \theta - \mathrm{inner}\Big(\nabla L\Big(\theta
    + \rho\,\frac{T^2 g}{\lVert T g \rVert}\Big)\Big),\quad
    T = \lvert\theta\rvert + \varepsilon$$

    Args:
      inner: the optimizer that descends.
      rho: length ρ of the ascent [weights], in [0, inf), or a schedule of the descents.
      eps: the unit ε of a weight that is zero [parameter units], in [0, inf). The paper
        calls it η.
      mask: which parameters are measured so; T = 1 for all others: a tree of bools or a
        function of params. None: all of them.
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
      ValueError: a hyperparameter outside its range, no parameters, or a mask that
        selects none of them.

    References:
      Kwon, Kim, Park and Choi, "ASAM: Adaptive Sharpness-Aware Minimization for
      Scale-Invariant Learning of Deep Neural Networks", arXiv:2102.11600v3, Algorithm 1 with
      p = 2 and the elementwise operator.

    Differs:
      The authors' code leaves all parameters whose name lacks "weight" as in SAM, which is
      what `mask` is for.

    Example:
      >>> import gradlab as gl
      >>> gl.asam(gl.sgd(0.1), mask={"kernel": True, "bias": False}).rho
      0.5
    """


ENTRY = core.Entry(
    asam,
    formula="p -= inner(grad_fn(p + rho * T**2 * g / |T * g|)); T = |p| + eps",
    paper=("kwon2021asam",),
    example={"inner": sgd(0.01), "rho": 0.05},
    search_space={"rho": (1e-2, 10.0, "log"), "learning_rate": (1e-3, 1.0, "log")},
    needs=("grad_fn",),
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="The ascent turns round where the gradient passes zero, and the unit of a weight "
        "has a kink where that is zero; both derivatives are taken as zero there.",
        gradient_evaluations=2,
    ),
)
