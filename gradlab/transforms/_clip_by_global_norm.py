"""Clipping by the norm of the whole gradient."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from gradlab import core
from gradlab.core import Params, Scalar, Updates, hyper


class ClipByGlobalNorm(core.Rule):
    """Shortens a gradient that is longer than a bound."""

    clips = True

    max_norm: Scalar = hyper("[0, inf]")

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, Any]:
        norm = core.global_norm(updates)
        # Not `norm > max_norm`: a norm that is not a number has to spread.
        longer = ~(norm <= self.max_norm)
        # One factor for all arrays fuses into whatever comes next, where a choice between
        # two gradients would be written to memory.
        factor = jnp.where(longer, self.max_norm, 1.0) / jnp.where(longer, norm, 1.0)
        (updates,) = self.each(lambda h, g: g * factor.astype(g.real.dtype), updates)
        return updates, state


@core.builds(ClipByGlobalNorm)
def clip_by_global_norm(max_norm: Scalar):
    r"""Scales all gradients by one factor, so that their common norm is at most a bound.

    $$g \leftarrow g\,\min\Big(1, \frac{c}{\lVert g \rVert}\Big)$$

    Args:
      max_norm: the bound c [gradient units], in [0, inf]; inf never clips.

    Returns:
      The transformation. State: none.

    Raises:
      ValueError: `max_norm` outside its range.

    References:
      Pascanu, Mikolov and Bengio, "On the difficulty of training Recurrent Neural
      Networks", arXiv:1211.5063v2, Algorithm 1. Koloskova, Hendrikx and Stich, "Revisiting
      Gradient Clipping: Stochastic bias and tight convergence guarantees",
      arXiv:2305.01588v2.

    Differs:
      PyTorch adds 1e-6 to the norm.

    Example:
      >>> import gradlab as gl
      >>> opt = gl.chain(gl.clip_by_global_norm(1.0), gl.adamw(1e-3))
      >>> gl.hyperparameters(opt)["links[0].max_norm"]
      1.0
    """


ENTRY = core.Entry(
    clip_by_global_norm,
    formula="g *= min(1, max_norm / norm(g))",
    paper=("M036", "M035"),
    example={"max_norm": 1.0},
    search_space={"max_norm": (0.1, 10.0, "log")},
    traits=core.Traits(elementwise=False, smooth=False, kinks="Where the norm passes the bound."),
)
