"""Shrinking."""

from __future__ import annotations

from typing import Any

from gradlab import core
from gradlab.prox._sums import summed


def prox_ridge(tree: Any, l2reg: Any = 1.0, scaling: Any = 1.0) -> Any:
    r"""The proximal operator of half the squared l2 norm shrinks everything.

    $$\frac{x}{1 + s\lambda} = \arg\min_y \tfrac12\lVert x - y\rVert^2
    + \tfrac12\, s\,\lambda\,\lVert y\rVert^2$$

    Args:
      tree: x, arrays of real or complex numbers; None leaves stay.
      l2reg: λ, in [0, inf): a number, or a tree of numbers or arrays that broadcast
        to the arrays of x. None: one.
      scaling: s, a number in [0, inf).

    Returns:
      A tree like x.

    Raises:
      TypeError: an array of integers, or a strength that is no real number.
      ValueError: a strength or scaling outside its range, or a tree of strengths that does not
        fit; messages name the argument, or the path.

    References:
      Hoerl and Kennard, "Ridge regression: biased estimation for nonorthogonal problems",
      Technometrics 12(1), 1970; Parikh and Boyd, "Proximal Algorithms", Foundations and Trends in
      Optimization 1(3), 2014, chapter 6.

    Differs:
      The numbers are jaxopt's, whose documentation leaves out the factor ½ of the penalty.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> gl.prox.prox_ridge(jnp.array([3.0, -1.0]), 1.0).tolist()
      [1.5, -0.5]
    """
    operand = core.Operand.of("prox_ridge", tree)
    return operand.map(lambda x, s: x / (1 + s), operand.strengths("l2reg", l2reg, scaling))


ENTRY = core.Entry(
    prox_ridge,
    formula="x / (1 + s * l2reg)",
    paper=("parikh2014proximal",),
    example={"l2reg": 0.3},
    penalty=summed(lambda x, l2reg: l2reg / 2 * abs(x) ** 2),
)
