"""Clipping each unit's gradient in proportion to its weights."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import Params, Scalar, Updates, hyper, static
from gradlab.linalg import unit_norm

SHORTEST = 1e-6
"""Gradients of a unit below this norm are scaled as if they had it."""


class AdaptiveGradClip(core.Rule):
    """Shortens gradients that are long against the weights of their unit."""

    clips = True

    clipping: Scalar = hyper("[0, inf)")
    eps: Scalar = hyper("[0, inf)")
    axis: int | tuple[int, ...] | None = static()

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, Any]:
        params = self.needed(params)

        def leaf(h: Any, g: jax.Array, p: jax.Array) -> jax.Array:
            norm = unit_norm(g, self.axis)
            longest = h.clipping * jnp.maximum(unit_norm(p, self.axis), h.eps)
            return g * jnp.where(norm < longest, 1, longest / jnp.maximum(norm, SHORTEST))

        (updates,) = self.each(leaf, updates, reads=(params,))
        return updates, state


@core.builds(AdaptiveGradClip)
def adaptive_grad_clip(
    clipping: Scalar, eps: Scalar = 1e-3, axis: int | tuple[int, ...] | None = None
):
    r"""Scales the gradient of each unit, so that it is at most a fraction of its weights.

    $$G_i \leftarrow G_i\,\min\Big(1,
    \frac{\lambda \max(\lVert W_i \rVert, \varepsilon)}{\lVert G_i \rVert}\Big)$$

    for every unit i: a column of an (inputs, outputs) matrix, an output channel of a
    convolution, the whole of a vector.

    Args:
      clipping: the fraction λ [gradient units per parameter unit], in [0, inf).
      eps: smallest norm of weights [parameter units], in [0, inf), so that weights that
        start at zero can move.
      axis: the axes that make a unit, for every array; None chooses them by dimension.

    Returns:
      The transformation. State: none.

    Raises:
      ValueError: a hyperparameter outside its range; no params; an array of more than 5
        dimensions without `axis`.

    References:
      Brock, De, Smith and Simonyan, "High-Performance Large-Scale Image Recognition Without
      Normalization", arXiv:2102.06171v1, equation 3.

    Differs:
      The paper's matrices are (outputs, inputs) and its units are rows. Three-dimensional
      arrays are summed over their first axis only, as in optax.

    Example:
      >>> import gradlab as gl
      >>> gl.adaptive_grad_clip(0.01)
      adaptive_grad_clip(clipping=0.01, eps=0.001)
    """


ENTRY = core.Entry(
    adaptive_grad_clip,
    formula="g *= min(1, clipping * max(unit_norm(p), eps) / unit_norm(g))",
    paper=("brock2021high",),
    example={"clipping": 0.01},
    search_space={"clipping": (1e-3, 1e-1, "log")},
    traits=core.Traits(
        elementwise=False, smooth=False, kinks="Where a unit's norm passes its bound."
    ),
)
