"""Clipping a fraction of the coordinates, the largest ones."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import Params, Scalar, Updates, hyper, static
from gradlab.linalg import upper_quantile


class ClipLargestCoordinates(core.Rule):
    """Shortens the largest coordinates to the size where they begin."""

    clips = True

    fraction: Scalar = hyper("[0, 1]")
    scope: str = static(convert=core.one_of("tree", "array"))

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, Any]:
        (sizes,) = self.each(lambda h, g: core.absolute(g), updates)
        if self.scope == "tree":
            flat = [x.ravel() for x in jax.tree.leaves(sizes)]
            threshold = self.threshold(jnp.concatenate(flat)) if flat else None
            thresholds = jax.tree.map(lambda x: threshold, sizes)
        else:
            thresholds = jax.tree.map(self.threshold, sizes)

        def leaf(h: Any, g: jax.Array, longest: jax.Array) -> jax.Array:
            size = core.absolute(g)
            return jnp.where(size > longest, core.divide(g * longest, size), g)

        (updates,) = self.each(leaf, updates, reads=(thresholds,))
        return updates, state

    def threshold(self, sizes: jax.Array) -> jax.Array:
        """The size at which the largest coordinates begin."""
        return upper_quantile(sizes, self.fraction) if sizes.size else jnp.zeros([], sizes.dtype)


@core.builds(ClipLargestCoordinates)
def clip_largest_coordinates(fraction: Scalar = 0.1, scope: str = "tree"):
    r"""Clips a fraction of the coordinates, those that are largest, at where they begin.

    $$g_i \leftarrow \mathrm{sign}(g_i) \min(|g_i|, \tau),\quad
    \tau \text{ such that } |g_i| > \tau \text{ for the fraction}$$

    The threshold τ is chosen anew at each step. It interpolates between the sizes of
    coordinates, and so is continuous in the fraction.

    Args:
      fraction: of the coordinates that are clipped, in [0, 1]: the paper takes 0.1 for SGD,
        0.5 after a coordinate-wise scaling such as Adam's. 0 clips none.
      scope: `"tree"`, one threshold for all arrays, which sorts all coordinates, or
        `"array"`, one for each array.

    Returns:
      The transformation. State: none.

    Raises:
      ValueError: an argument outside its range.

    References:
      Pan and Li, "Toward Understanding Why Adam Converges Faster Than SGD for Transformers",
      arXiv:2306.00204v1, Algorithm 1 and section 5.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> opt = gl.clip_largest_coordinates(0.25)
      >>> opt.update(jnp.array([1.0, -9.0, 3.0, 2.0, 0.0]), opt.init(None))[0].tolist()
      [1.0, -3.0, 3.0, 2.0, 0.0]
    """


ENTRY = core.Entry(
    clip_largest_coordinates,
    formula="g = sign(g) * min(|g|, quantile(|g|, 1 - fraction))",
    paper=("M038",),
    example={"fraction": 0.1},
    search_space={"fraction": (0.01, 0.5, "log")},
    traits=core.Traits(
        elementwise=False, smooth=False, kinks="Where coordinates change their order in size."
    ),
)
