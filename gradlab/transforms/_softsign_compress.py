"""Softsign compression of updates."""

from __future__ import annotations

from typing import Any

import jax

from gradlab import core
from gradlab.core import Params, Scalar, Updates, hyper


class SoftsignCompress(core.Rule):
    """The update over one plus its size."""

    scale: Scalar = hyper("(0, inf)")

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, Any]:
        def leaf(h: Any, g: jax.Array) -> jax.Array:
            return g / (1 + core.absolute(g) / h.scale)

        return self.each(leaf, updates)[0], state


@core.builds(SoftsignCompress)
def softsign_compress(scale: Scalar = 1.0):
    r"""Compresses updates by the softsign: the identity near zero, bounded further out.

    $$u = \frac{g}{1 + \lvert g\rvert / c}$$

    It stands after momentum, or in front of an optimizer, in the place of clipping.

    Args:
      scale: bound c of the size [update units], in (0, inf).

    Returns:
      The transformation. No state.

    Raises:
      ValueError: `scale` outside its range.

    References:
      Bergstra, Desjardins, Lamblin and Bengio, "Quadratic Polynomials Learn Better Image
      Features", technical report 1337, Université de Montréal, 2009 (the softsign).

    Differs:
      The report's function has a scale of one. Complex numbers keep their phase.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> gl.softsign_compress(2.0).update(jnp.array([2.0, -6.0]), ())[0].tolist()
      [1.0, -1.5]
    """


ENTRY = core.Entry(
    softsign_compress,
    formula="u = g / (1 + |g| / scale)",
    paper=("bergstra2009quadratic",),
    example={},
    search_space={"scale": (1e-2, 1e2, "log")},
)
