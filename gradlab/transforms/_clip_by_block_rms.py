"""Clipping each array by the root of its mean square."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import Params, Scalar, Updates, hyper


class ClipByBlockRMS(core.Rule):
    """Shortens every array whose root mean square is above a bound."""

    threshold: Scalar = hyper("(0, inf]")

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, Any]:
        def leaf(h: Any, g: jax.Array) -> jax.Array:
            rms = core.sqrt(jnp.mean(core.abs_sq(g)))
            return g / jnp.maximum(1, rms / h.threshold)

        (updates,) = self.each(leaf, updates)
        return updates, state


@core.builds(ClipByBlockRMS)
def clip_by_block_rms(threshold: Scalar):
    r"""Scales each array, so that the root of its mean square is at most a bound.

    $$G \leftarrow \frac{G}{\max(1, \mathrm{RMS}(G) / d)},\quad
    \mathrm{RMS}(G) = \sqrt{\tfrac1n \textstyle\sum_i |G_i|^2}$$

    Args:
      threshold: the bound d [gradient units], in (0, inf]; inf never clips.

    Returns:
      The transformation. State: none.

    Raises:
      ValueError: `threshold` outside its range.

    References:
      Shazeer and Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost",
      arXiv:1804.04235, update clipping.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> opt = gl.clip_by_block_rms(1.0)
      >>> opt.update([jnp.array([2.0, -2.0]), jnp.array([0.5])], opt.init(None))[0]
      [Array([ 1., -1.], dtype=float32), Array([0.5], dtype=float32)]
    """


ENTRY = core.Entry(
    clip_by_block_rms,
    formula="g /= max(1, rms(g) / threshold), array by array",
    paper=("shazeer2018adafactor",),
    example={"threshold": 0.5},
    search_space={"threshold": (1e-2, 10.0, "log")},
    traits=core.Traits(
        elementwise=False, smooth=False, kinks="Where an array's root mean square passes the bound."
    ),
)
