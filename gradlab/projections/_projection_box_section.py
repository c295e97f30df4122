"""The nearest point of a box on a hyperplane."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gradlab import core
from gradlab.projections._vectors import check_section, described, indicator, vector


def projection_box_section(x: Any, lower: Any, upper: Any, w: Any, c: Any) -> Any:
    r"""The nearest point of a box that lies on a hyperplane.

    $$\min(\max(x + \tau w,\ l),\ u) = \arg\min_y \lVert x - y\rVert
    \ \text{ subject to } l \le y \le u,\ w^\top y = c$$

    The number τ solves a piecewise linear equation, exactly: bisection over the sorted places
    where a coordinate meets a bound finds the piece.

    Args:
      x: a vector of n real numbers.
      lower: l, of shape (n,), or a number.
      upper: u, not below l, of shape (n,), or a number.
      w: of shape (n,), positive.
      c: a number between wᵀl and wᵀu.

    Returns:
      A vector like x. The derivative is that for the same coordinates being at their bounds.

    Raises:
      TypeError: integers or complex numbers.
      ValueError: other shapes, or numbers (known at the call) for which there is no such point.

    References:
      Blondel, Berthet, Cuturi, Frostig, Hoyer, Llinares-López, Pedregosa and Vert, "Efficient
      and Modular Implicit Differentiation", arXiv:2105.15183, appendix on projections.

    Differs:
      jaxopt takes the four arrays as one tuple, and bisects to a tolerance.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> x = jnp.array([2.0, 0.5, 0.0])
      >>> gl.projections.projection_box_section(x, 0.0, 1.0, jnp.ones(3), 1.0).tolist()
      [1.0, 0.0, 0.0]
    """
    operand = vector("projection_box_section", x)
    n = operand.arrays[0].size
    low, high = (v if np.ndim(v) else jnp.full(n, v) for v in (lower, upper))
    shapes = {"lower": (low, (n,)), "upper": (high, (n,)), "w": (w, (n,)), "c": (c, ())}
    low, high, w, c = described(operand, **shapes)
    check_section(operand.owner, low, high, w, c)
    return operand.map(lambda x: _nearest(x, low, high, w, c))


@jax.jit  # outside of a program, too: its loop would be compiled anew at every call
def _nearest(x: jax.Array, low: jax.Array, high: jax.Array, w: jax.Array, c: jax.Array) -> Any:
    x_, low_, high_, w_, c_ = lax.stop_gradient((x, low, high, w, c))
    places = jnp.sort(jnp.concatenate([(low_ - x_) / w_, (high_ - x_) / w_]))

    def halve(_: Any, bracket: tuple) -> tuple:
        first, last = bracket
        middle = (first + last) // 2
        below = w_ @ jnp.clip(x_ + places[middle] * w_, low_, high_) <= c_
        return jnp.where(below, middle, first), jnp.where(below, last, middle)

    ends = jnp.int32(0), jnp.int32(len(places) - 1)
    first, last = lax.fori_loop(0, len(places).bit_length(), halve, ends)
    # Within a piece the same coordinates are at their bounds; its middle says which.
    inside = x_ + (places[first] + places[last]) / 2 * w_
    at_low, at_high = inside <= low_, inside >= high_
    fixed, free = jnp.where(at_low, low, high), ~(at_low | at_high)
    rest = c - jnp.sum(jnp.where(free, w * x, w * fixed))
    tau = core.divide(rest, jnp.sum(jnp.where(free, w * w, 0)))
    return jnp.where(free, jnp.clip(x + tau * w, low_, high_), fixed)


def _violation(x: Any, lower: Any, upper: Any, w: Any, c: Any) -> Any:
    return jnp.maximum(jnp.max(jnp.maximum(lower - x, x - upper)), jnp.abs(w @ x - c))


ENTRY = core.Entry(
    projection_box_section,
    formula="clip(x + tau * w, lower, upper) with w @ y = c",
    paper=("M057",),
    example={
        "lower": np.full(5, -1.0),
        "upper": np.array([1.0, 0.5, 2.0, 1.0, 1.0]),
        "w": np.array([1.0, 0.5, 2.0, 1.5, 1.0]),
        "c": 0.7,
    },
    needs=("vector",),
    penalty=lambda x, **box: indicator(_violation(x, **box)),
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="The derivative is that for the same coordinates being at their bounds.",
        complex=False,
    ),
)
