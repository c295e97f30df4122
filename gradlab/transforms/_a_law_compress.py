"""A-law compression of updates."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import Params, Scalar, Updates, hyper


class ALawCompress(core.Rule):
    """A line near zero, and a logarithm of the size from there on."""

    a: Scalar = hyper("[1, inf)")

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, Any]:
        def leaf(h: Any, g: jax.Array) -> jax.Array:
            size = core.absolute(g)
            # As a factor, so that the derivative at zero is that of the line there.
            far = h.a * size >= 1
            known = jnp.where(far, size, 1)
            slope = jnp.where(far, (1 + jnp.log(h.a * known)) / known, h.a)
            return g * (slope / (1 + jnp.log(h.a)))

        return self.each(leaf, updates)[0], state


@core.builds(ALawCompress)
def a_law_compress(a: Scalar = 87.6):
    r"""Compresses updates by the A-law: a line up to 1/A, a logarithm of the size further out.

    $$u = \frac{\mathrm{sign}(g)}{1 + \log A}\begin{cases}A\,\lvert g\rvert & A\,\lvert g\rvert
    < 1\\ 1 + \log(A\,\lvert g\rvert) & \text{else}\end{cases}$$

    One stays one. It stands after momentum, or in front of an optimizer, in the place of
    clipping: what is large becomes smaller and keeps its order.

    Args:
      a: compression A [one over update units], in [1, inf).

    Returns:
      The transformation. No state.

    Raises:
      ValueError: `a` outside its range.

    References:
      ITU-T Recommendation G.711, 1988, A-law; `a_law_compress` of HeavyBall.

    Differs:
      Complex numbers keep their phase.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> squeeze = gl.a_law_compress()
      >>> [round(x, 2) for x in squeeze.update(jnp.array([0.01, -1.0, 100.0]), ())[0].tolist()]
      [0.16, -1.0, 1.84]
    """


ENTRY = core.Entry(
    a_law_compress,
    formula="u = sign(g) * (a * |g| if a * |g| < 1 else 1 + log(a * |g|)) / (1 + log(a))",
    paper=("itu1988g711",),
    example={"a": 5.0},
    search_space={"a": (1.0, 1e3, "log")},
)
