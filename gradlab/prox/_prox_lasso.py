"""Soft thresholding."""

from __future__ import annotations

from typing import Any

from gradlab import core
from gradlab.prox._sums import summed


def prox_lasso(tree: Any, l1reg: Any = 1.0, scaling: Any = 1.0) -> Any:
    r"""The proximal operator of the l1 norm moves every number nearer to zero, to zero at most.

    $$\operatorname{sign}(x)\,\max(|x| - s\lambda,\ 0) = \arg\min_y \tfrac12\lVert x - y\rVert^2
    + s\,\lambda\,\lVert y\rVert_1$$

    Complex numbers keep their argument; |x| is their modulus.

    Args:
      tree: x, arrays of real or complex numbers; None leaves stay.
      l1reg: λ, in [0, inf): a number, or a tree of numbers or arrays that broadcast
        to the arrays of x. None: one.
      scaling: s, a number in [0, inf).

    Returns:
      A tree like x. At the threshold the derivative is that from outside: a strength of zero is
      the identity, with derivative one at zero, too.

    Raises:
      TypeError: an array of integers, or a strength that is no real number.
      ValueError: a strength or scaling outside its range, or a tree of strengths that does not
        fit; messages name the argument, or the path.

    References:
      Donoho, "De-noising by soft-thresholding", IEEE Transactions on Information Theory 41(3),
      1995; Parikh and Boyd, "Proximal Algorithms", Foundations and Trends in Optimization 1(3),
      2014, chapter 6.

    Differs:
      jaxopt takes the derivative at the threshold from inside.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> gl.prox.prox_lasso(jnp.array([3.0, -0.5, -2.0]), 1.0).tolist()
      [2.0, 0.0, -1.0]
    """
    operand = core.Operand.of("prox_lasso", tree)
    return operand.map(core.soft_threshold, operand.strengths("l1reg", l1reg, scaling))


ENTRY = core.Entry(
    prox_lasso,
    formula="sign(x) * max(|x| - s * l1reg, 0)",
    paper=("M079", "parikh2014proximal"),
    example={"l1reg": 0.3},
    penalty=summed(lambda x, l1reg: l1reg * abs(x)),
    traits=core.Traits(smooth=False, kinks="At the threshold the derivative is that from outside."),
)
