"""The nearest point of the second-order cone."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.projections._vectors import indicator


def projection_second_order_cone(tree: Any) -> Any:
    r"""The nearest point of the second-order cone, of vectors no longer than their last entry.

    $$\begin{cases} (z, t) & \lVert z\rVert \le t \\ 0 & \lVert z\rVert \le -t \\
    \tfrac12 \left(1 + \frac{t}{\lVert z\rVert}\right) (z, \lVert z\rVert) & \text{else}
    \end{cases}$$

    Args:
      tree: arrays of real numbers whose last axis is (z, t), t being the last entry.

    Returns:
      A tree like the argument. On the boundaries the derivative is that from within the two
      cones.

    Raises:
      TypeError: integers or complex numbers.
      ValueError: an array without axes.

    References:
      Parikh and Boyd, "Proximal Algorithms", Foundations and Trends in Optimization 1(3), 2014,
      chapter 6.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> x = jnp.array([[3.0, 4.0, 0.0], [0.0, 1.0, 2.0]])
      >>> gl.projections.projection_second_order_cone(x).tolist()
      [[1.5, 2.0, 2.5], [0.0, 1.0, 2.0]]
    """
    operand = core.Operand.of("projection_second_order_cone", tree, real=True, ndim=1)

    def formula(x: Any) -> Any:
        z, t = x[..., :-1], x[..., -1:]
        size = core.norm(z, axis=-1, keepdims=True)
        part = (1 + core.divide(t, size)) / 2
        surface = jnp.concatenate([part * z, part * size], axis=-1)
        return jnp.where(size <= t, x, jnp.where(size <= -t, 0, surface))

    return operand.map(formula)


def _violation(tree: Any) -> Any:
    gaps = [jnp.linalg.norm(x[..., :-1], axis=-1) - x[..., -1] for x in jax.tree.leaves(tree)]
    return jnp.max(jnp.stack([jnp.max(gap) for gap in gaps]))


ENTRY = core.Entry(
    projection_second_order_cone,
    formula="(1 + t / |z|) / 2 * (z, |z|) where |z| > |t|, else (z, t) or 0",
    paper=("parikh2014proximal",),
    example={},
    needs=("matrices",),
    penalty=lambda tree: indicator(_violation(tree)),
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="On the boundaries the derivative is that from within the two cones.",
        complex=False,
    ),
)
