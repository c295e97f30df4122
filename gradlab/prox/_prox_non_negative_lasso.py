"""Soft thresholding of numbers that may not be negative."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from gradlab import core
from gradlab.prox._sums import summed


def prox_non_negative_lasso(tree: Any, l1reg: Any = 1.0, scaling: Any = 1.0) -> Any:
    r"""The proximal operator of the l1 norm on numbers that are not negative.

    $$\max(x - s\lambda,\ 0) = \arg\min_{y \ge 0} \tfrac12\lVert x - y\rVert^2
    + s\,\lambda\,\lVert y\rVert_1$$

    Args:
      tree: x, arrays of real numbers; None leaves stay.
      l1reg: λ, in [0, inf): a number, or a tree of numbers or arrays that broadcast
        to the arrays of x. None: one.
      scaling: s, a number in [0, inf).

    Returns:
      A tree like x. At the threshold the derivative is that from above.

    Raises:
      TypeError: an array of integers or complex numbers, or a strength that is no real number.
      ValueError: a strength or scaling outside its range, or a tree of strengths that does not
        fit; messages name the argument, or the path.

    References:
      Parikh and Boyd, "Proximal Algorithms", Foundations and Trends in Optimization 1(3), 2014,
      chapter 6.

    Differs:
      jaxopt takes the derivative at the threshold from below.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> gl.prox.prox_non_negative_lasso(jnp.array([3.0, 0.5, -2.0]), 1.0).tolist()
      [2.0, 0.0, 0.0]
    """
    operand = core.Operand.of("prox_non_negative_lasso", tree, real=True)
    strengths = operand.strengths("l1reg", l1reg, scaling)
    return operand.map(lambda x, s: jnp.where(x < s, 0, x - s), strengths)


ENTRY = core.Entry(
    prox_non_negative_lasso,
    formula="max(x - s * l1reg, 0)",
    paper=("parikh2014proximal",),
    example={"l1reg": 0.3},
    penalty=summed(lambda x, l1reg: jnp.where(x < 0, jnp.inf, l1reg * x)),
    traits=core.Traits(
        smooth=False, kinks="At the threshold the derivative is that from above.", complex=False
    ),
)
