"""Updates split into the part along the parameters and the part across."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import DType, Params, Scalar, Updates, hyper, static


class ProjectUpdateState(NamedTuple):
    """The sum of updates, each less by its age."""

    trace: Any


class ProjectUpdate(core.Rule):
    """Moves against earlier updates, shortens, and scales what points along the parameters."""

    parallel: Scalar = hyper()
    max_norm: Scalar = hyper("[0, inf]")
    momentum: Scalar = hyper("(-1, 1)")
    eps: Scalar = hyper("[0, inf)")
    accumulator_dtype: DType | None = static(convert=core.dtype_or_none)

    def init(self, params: Params) -> ProjectUpdateState:
        return core.init_moments(ProjectUpdateState, params, self.accumulator_dtype)

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, ProjectUpdateState]:
        params = self.needed(params)

        def leaf(h: Any, d: jax.Array, trace: jax.Array, p: jax.Array) -> tuple:
            d = trace = d + h.momentum * trace
            norm = core.norm(d)
            shorter = norm <= h.max_norm
            d = d * jnp.where(shorter, 1, h.max_norm / jnp.where(shorter, 1, norm))
            share = core.divide(core.inner_product(p, d), jnp.sum(core.abs_sq(p)) + h.eps)
            along = share.astype(d.real.dtype) * p
            return d - along + h.parallel * along, trace

        updates, trace = self.each(leaf, updates, state.trace, reads=(params,))
        return updates, ProjectUpdateState(trace)


@core.builds(ProjectUpdate)
def project_update(
    parallel: Scalar = 0.0,
    max_norm: Scalar = float("inf"),
    momentum: Scalar = 0.0,
    eps: Scalar = 1e-30,
    *,
    accumulator_dtype: DType | None = None,
):
    r"""Adaptive projected guidance: scales the part of an update along the parameters.

    $$d \leftarrow d + \beta\,\bar d,\quad \bar d \leftarrow d,\quad
    d \leftarrow d\,\min\Big(1, \frac r{\lVert d \rVert}\Big),\quad
    d \leftarrow d_\perp + \eta\,d_\parallel,\quad
    d_\parallel = \frac{\langle x, d \rangle}{\lVert x \rVert^2 + \varepsilon}\,x$$

    for each array x. In the paper x is the conditional prediction of a diffusion model, d its
    difference from the unconditional one, and `gl.scale(w - 1)` with this before it adds what
    guidance adds; as an optimizer it stands before the learning rate.

    Args:
      parallel: factor η of the part along x, a real number; 1 leaves the update as it is, the
        paper takes 0.
      max_norm: radius r of the update of an array, in [0, inf]; inf never shortens.
      momentum: factor β of what was added so far, in (-1, 1). The paper takes a negative one,
        such as -0.5 or -0.75, that moves away from earlier updates.
      eps: added to the squared norm of x [squared parameter units], in [0, inf), so that an
        array of zeros keeps its update whole.
      accumulator_dtype: dtype of the sum. None: the parameter's, float32 below 32 bits.

    Returns:
      The transformation. State: 1 × params.

    Raises:
      ValueError: a hyperparameter outside its range; no params.

    References:
      Sadat, Hilliges and Weber, "Eliminating Oversaturation and Artifacts of High Guidance
      Scales in Diffusion Models", arXiv:2410.02416v2, Algorithm 1.

    Differs:
      The paper takes norms and products over each image; here they are over each array, so that
      a batch of images is one call under `jax.vmap`. The paper has no `eps`.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> opt, x = gl.project_update(parallel=0.5), jnp.array([2.0, 0.0])
      >>> opt.update(jnp.array([3.0, 4.0]), opt.init(x), x)[0].tolist()
      [1.5, 4.0]
    """


ENTRY = core.Entry(
    project_update,
    formula="d += momentum * trace; d *= min(1, r / norm(d)); d = d_orthogonal + eta * d_parallel",
    paper=("M247",),
    example={"parallel": 0.3, "max_norm": 1.0, "momentum": -0.5},
    search_space={"momentum": (-0.9, 0.5, "linear"), "max_norm": (0.1, 10.0, "log")},
    traits=core.Traits(
        elementwise=False, smooth=False, kinks="Where an array's norm passes `max_norm`."
    ),
)
