"""Clipping each coordinate."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import Params, Scalar, Updates, hyper


class Clip(core.Rule):
    """Bounds the size of every coordinate."""

    max_delta: Scalar = hyper("[0, inf]")

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, Any]:
        def leaf(h: Any, g: jax.Array) -> jax.Array:
            return jnp.clip(g, -h.max_delta, h.max_delta)

        (updates,) = self.each(leaf, updates)
        return updates, state


@core.builds(Clip)
def clip(max_delta: Scalar):
    r"""Clips every coordinate to an interval around zero.

    $$g_i \leftarrow \min(\max(g_i, -c), c)$$

    Args:
      max_delta: the bound c [gradient units], in [0, inf]; inf never clips.

    Returns:
      The transformation. State: none.

    Raises:
      ValueError: `max_delta` outside its range; complex gradients, which have no order.

    References:
      Babuschkin et al., "The DeepMind JAX Ecosystem", 2020: `optax.clip` of optax 0.2.8.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> opt = gl.clip(1.0)
      >>> opt.update(jnp.array([0.5, -3.0]), opt.init(None))[0].tolist()
      [0.5, -1.0]
    """


ENTRY = core.Entry(
    clip,
    formula="g = min(max(g, -max_delta), max_delta)",
    paper=("deepmind2020jax",),
    example={"max_delta": 1.0},
    search_space={"max_delta": (1e-2, 10.0, "log")},
    traits=core.Traits(smooth=False, kinks="Where a coordinate passes the bound.", complex=False),
)
