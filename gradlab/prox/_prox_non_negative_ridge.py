"""Shrinking of numbers that may not be negative."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from gradlab import core
from gradlab.prox._sums import summed


def prox_non_negative_ridge(tree: Any, l2reg: Any = 1.0, scaling: Any = 1.0) -> Any:
    r"""The proximal operator of half the squared l2 norm on numbers that are not negative.

    $$\frac{\max(x, 0)}{1 + s\lambda} = \arg\min_{y \ge 0} \tfrac12\lVert x - y\rVert^2
    + \tfrac12\, s\,\lambda\,\lVert y\rVert^2$$

    Args:
      tree: x, arrays of real numbers; None leaves stay.
      l2reg: λ, in [0, inf): a number, or a tree of numbers or arrays that broadcast
        to the arrays of x. None: one.
      scaling: s, a number in [0, inf).

    Returns:
      A tree like x. At zero the derivative is that from above.

    Raises:
      TypeError: an array of integers or complex numbers, or a strength that is no real number.
      ValueError: a strength or scaling outside its range, or a tree of strengths that does not
        fit; messages name the argument, or the path.

    References:
      Parikh and Boyd, "Proximal Algorithms", Foundations and Trends in Optimization 1(3), 2014,
      chapter 6.

    Differs:
      The numbers are jaxopt's, whose documentation leaves out the factor ½ of the penalty; it
      takes the derivative at zero from below.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> gl.prox.prox_non_negative_ridge(jnp.array([3.0, -1.0]), 1.0).tolist()
      [1.5, 0.0]
    """
    operand = core.Operand.of("prox_non_negative_ridge", tree, real=True)
    strengths = operand.strengths("l2reg", l2reg, scaling)
    return operand.map(lambda x, s: jnp.where(x < 0, 0, x / (1 + s)), strengths)


ENTRY = core.Entry(
    prox_non_negative_ridge,
    formula="max(x, 0) / (1 + s * l2reg)",
    paper=("parikh2014proximal",),
    example={"l2reg": 0.3},
    penalty=summed(lambda x, l2reg: jnp.where(x < 0, jnp.inf, l2reg / 2 * x**2)),
    traits=core.Traits(
        smooth=False, kinks="At zero the derivative is that from above.", complex=False
    ),
)
