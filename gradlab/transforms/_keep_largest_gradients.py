"""Gradient-mask tuning: only the largest gradients move their parameters."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import Params, Scalar, Updates, hyper
from gradlab.linalg import largest, portion


class KeepLargestGradients(core.Rule):
    """Sets all but the largest gradients of each array to zero."""

    fraction: Scalar = hyper("[0, 1]")

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, Any]:
        def leaf(h: Any, g: jax.Array) -> jax.Array:
            kept = largest(core.absolute(g), portion(h.fraction, g.size))
            return jnp.where(kept, g, jnp.zeros_like(g))

        (updates,) = self.each(leaf, updates)
        return updates, state


@core.builds(KeepLargestGradients)
def keep_largest_gradients(fraction: Scalar):
    r"""Gradient-mask tuning keeps the largest gradients of each array and drops the rest.

    $$g_i \leftarrow g_i\,[\,|g_i| \text{ is among the } \mathrm{round}(\rho n)
    \text{ largest of its array}\,]$$

    The paper chooses by gradients accumulated over several batches: put the optimizer, with
    this before it, into `gl.MultiSteps`.

    Args:
      fraction: fraction ρ that is kept, in [0, 1]. A parameter whose gradient is dropped can
        still move by momentum or weight decay of what follows.

    Returns:
      The transformation. State: none.

    Raises:
      ValueError: `fraction` outside its range.

    References:
      Li, Zhang, Liu, Gong, Wang, Chen and Cheng, "Gradient-Mask Tuning Elevates the Upper
      Limits of LLM Performance", arXiv:2406.15330v1, the masked update.

    Differs:
      Exactly the number of gradients that the fraction asks for is kept, where a threshold
      would keep all that are equal to it.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> opt = gl.keep_largest_gradients(0.5)
      >>> opt.update(jnp.array([1.0, -9.0, 3.0, 2.0]), opt.init(None))[0].tolist()
      [0.0, -9.0, 3.0, 0.0]
    """


ENTRY = core.Entry(
    keep_largest_gradients,
    formula="g = g where |g| is among the largest of its array, else 0",
    paper=("M050",),
    example={"fraction": 0.4},
    search_space={"fraction": (0.05, 0.9, "linear")},
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="Where gradients change their order in size; the choice has derivative zero, by "
        "`fraction` too.",
    ),
)
