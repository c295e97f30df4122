"""The point of the simplex that is nearest in relative entropy."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from gradlab import core


def kl_projection_simplex(tree: Any, scale: Any = 1.0) -> Any:
    r"""The point of the simplex that is nearest in relative entropy: numbers divided by their sum.

    $$\frac{r\,x}{\sum_i x_i} = \arg\min_y \sum_i y_i \log \frac{y_i}{x_i} \ \text{ subject to }
    y \ge 0,\ \sum_i y_i = r$$

    It follows the steps of mirror descent with the negative entropy, as `projection_simplex`
    follows those of gradient descent.

    Args:
      tree: x, arrays of real numbers that are not negative; the sum is that of all of them.
      scale: r, a number in (0, inf).

    Returns:
      A tree like x; zeros where all numbers are zero.

    Raises:
      TypeError: integers or complex numbers.
      ValueError: `scale` outside its range.

    References:
      Beck and Teboulle, "Mirror descent and nonlinear projected subgradient methods for convex
      optimization", Operations Research Letters 31(3), 2003, section 5.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> gl.projections.kl_projection_simplex(jnp.array([1.0, 3.0])).tolist()
      [0.25, 0.75]
    """
    operand = core.Operand.of("kl_projection_simplex", tree, real=True)
    wanted = operand.strength("scale", scale, interval="(0, inf)")
    total = sum((jnp.sum(x) for x in operand.arrays), jnp.zeros([]))
    return operand.map(lambda x: core.divide(wanted * x, total))
