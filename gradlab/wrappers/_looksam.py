"""Sharpness-aware minimisation that looks uphill only now and then."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import Params, Scalar, ScalarOrSchedule, Updates, hyper, static
from gradlab.optimizers.momentum import sgd
from gradlab.wrappers._displaced import Displaced, Evaluate, Found, Start, along
from gradlab.wrappers._turns import either


class Looksam(Displaced):
    """Reuses the part of the gradient uphill that is across the gradient here."""

    rho: ScalarOrSchedule = hyper("[0, inf)")
    alpha: Scalar = hyper("[0, inf)")
    period: int = static(convert=core.count_at_least(1))

    def remembered(self, params: Params) -> Any:
        return core.moments_like(params)

    def ascent(self, start: Start) -> tuple[Updates, Any]:
        return along(self, start.own), start.memory

    def descent(self, start: Start, evaluate: Evaluate) -> Found:
        here = start.here

        def look() -> Found:
            there, memory, aux = super(Looksam, self).descent(start, evaluate)
            across = self.across(here, there)
            # What rounding leaves of nothing would be blown up to the size of a gradient.
            size, rounding = core.global_norm(across), 16 * jnp.finfo(jnp.float32).eps
            some = size > rounding * core.global_norm(there)

            def leaf(h: Any, v: jax.Array, old: jax.Array, t: jax.Array) -> tuple:
                return t, jnp.where(some, v, 0)

            gradients, memory = self.each(leaf, across, memory, reads=(there,))
            return Found(gradients, memory, aux)

        def reuse() -> Found:
            ratio = core.divide(core.global_norm(here), core.global_norm(start.memory))

            def leaf(h: Any, g: jax.Array, v: jax.Array) -> tuple:
                return g + h.alpha * ratio.astype(g.real.dtype) * v, v

            gradients, across = self.each(leaf, here, start.memory)
            return Found(gradients, across, start.aux)

        return look() if self.period == 1 else either(start.count % self.period == 0, look, reuse)

    def across(self, here: Updates, there: Updates) -> Updates:
        """The part of the gradient uphill that is orthogonal to the gradient here."""
        share = core.divide(core.inner_product(here, there), core.inner_product(here, here))

        def leaf(h: Any, g: jax.Array, t: jax.Array) -> jax.Array:
            return t - share.astype(g.real.dtype) * g

        (across,) = self.each(leaf, here, reads=(there,))
        return across


@core.builds(Looksam)
def looksam(
    inner: optax.GradientTransformation,
    rho: ScalarOrSchedule = 0.1,
    alpha: Scalar = 0.7,
    period: int = 5,
    *,
    axis_name: Any = None,
    local_ascent: bool = False,
    has_aux: bool = False,
    aux_like: Any = None,
    aux_from: str = "last",
):
    r"""LookSAM is SAM every few steps; between them it reuses what SAM added.

    $$g_s = \nabla L\Big(\theta + \rho\,\frac{g}{\lVert g\rVert}\Big),\quad
    v = g_s - \frac{\langle g, g_s\rangle}{\lVert g\rVert^2}\,g
    \quad\text{every $k$-th step, else}\quad
    g_s = g + \alpha\,\frac{\lVert g\rVert}{\lVert v\rVert}\,v$$

    and θ ← θ − inner(g_s).

    Args:
      inner: the optimizer that descends.
      rho: length ρ of the ascent [norm of the parameters], in [0, inf), or a schedule of
        the steps.
      alpha: size α of what is reused, as a multiple of the gradient, in [0, inf).
      period: number k of steps from one ascent to the next, at least 1. 1 is `sam`.
      axis_name: as in `sam`.
      local_ascent: as in `sam`.
      has_aux: as in `sam`.
      aux_like: as in `sam`.
      aux_from: as in `sam`.

    Returns:
      The optimizer. State: 1 × params, that of `inner` and a count. A step costs 1 + 1/k
      gradients on average.

    Raises:
      TypeError: `inner` is no transformation, or `grad_fn` is missing.
      ValueError: a hyperparameter outside its range, or no parameters.

    References:
      Liu, Mai, Chen, Hsieh and You, "Towards Efficient and Scalable Sharpness-Aware
      Minimization", arXiv:2203.02714v1, Algorithm 1.

    Differs:
      Norms and the component across are those of the whole tree, as in the algorithm;
      pytorch_optimizer takes them array by array. A component across that is no more than
      rounding counts as none.

    Example:
      >>> import gradlab as gl
      >>> gl.looksam(gl.sgd(0.1), period=10)
      looksam(inner=sgd(learning_rate=0.1), rho=0.1, alpha=0.7, period=10)
    """


ENTRY = core.Entry(
    looksam,
    formula="p -= inner(grad_fn(p + rho * g / |g|) at every period-th step, "
    "else g + alpha * |g| / |v| * v)",
    paper=("liu2022towards",),
    example={"inner": sgd(0.01)},
    search_space={
        "rho": (1e-2, 1.0, "log"),
        "alpha": (0.1, 1.0, "linear"),
        "learning_rate": (1e-3, 1.0, "log"),
    },
    needs=("grad_fn",),
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="The ascent turns round where the gradient passes zero; its derivative there is "
        "taken as zero.",
        gradient_evaluations=1.2,
    ),
)
