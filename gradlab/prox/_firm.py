"""Firm thresholding: the operator of the minimax concave penalty, which others are made of."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core


def firm_threshold(x: jax.Array, s: Any, weight: Any, width: Any) -> jax.Array:
    """The minimiser of ½(x − y)² + s h(y) with h(y) = weight |y| − y²/(2 width).

    From weight · width on h is constant. Where s is not smaller than the width, the minimiser is
    zero or x.
    """
    s, weight, width = (jnp.asarray(v, x.real.dtype) for v in (s, weight, width))
    size, continuous = core.absolute(x), s < width
    slope = jnp.where(continuous, 1 - s / width, 1)
    firm = jnp.where(size <= weight * width, core.soft_threshold(x, s * weight) / slope, x)
    tie = weight * jnp.sqrt(jnp.where(continuous, 1, s * width))
    return jnp.where(continuous, firm, jnp.where(size < jax.lax.stop_gradient(tie), 0, x))


def mcp_penalty(x: Any, weight: Any, width: Any) -> Any:
    """h of `firm_threshold`."""
    size = abs(x)
    return jnp.where(
        size <= weight * width, weight * size - size**2 / (2 * width), weight**2 * width / 2
    )
