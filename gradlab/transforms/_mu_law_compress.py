"""μ-law compression of updates."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import Params, Scalar, Updates, hyper


class MuLawCompress(core.Rule):
    """A logarithm of the size, smooth at zero."""

    mu: Scalar = hyper("(0, inf)")

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, Any]:
        def leaf(h: Any, g: jax.Array) -> jax.Array:
            size = core.absolute(g)
            # As a factor, so that the derivative at zero is that of the line there.
            zero = size == 0
            slope = jnp.log1p(h.mu * size) / jnp.where(zero, 1, size)
            return g * (jnp.where(zero, h.mu, slope) / jnp.log1p(h.mu))

        return self.each(leaf, updates)[0], state


@core.builds(MuLawCompress)
def mu_law_compress(mu: Scalar = 127.0):
    r"""Compresses updates by the μ-law: linear near zero, a logarithm of the size further out.

    $$u = \mathrm{sign}(g)\,\frac{\log(1 + \mu\,\lvert g\rvert)}{\log(1 + \mu)}$$

    One stays one. It stands after momentum, or in front of an optimizer, in the place of
    clipping: what is large becomes smaller and keeps its order.

    Args:
      mu: compression μ [one over update units], in (0, inf).

    Returns:
      The transformation. No state.

    Raises:
      ValueError: `mu` outside its range.

    References:
      ITU-T Recommendation G.711, 1988, μ-law; `mu_law_compress` of HeavyBall.

    Differs:
      Complex numbers keep their phase.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> squeeze = gl.mu_law_compress()
      >>> [round(x, 2) for x in squeeze.update(jnp.array([0.01, -1.0, 100.0]), ())[0].tolist()]
      [0.17, -1.0, 1.95]
    """


ENTRY = core.Entry(
    mu_law_compress,
    formula="u = sign(g) * log(1 + mu * |g|) / log(1 + mu)",
    paper=("itu1988g711",),
    example={"mu": 5.0},
    search_space={"mu": (1.0, 1e3, "log")},
)
