"""Soft thresholding, then shrinking."""

from __future__ import annotations

from typing import Any

from gradlab import core
from gradlab.prox._sums import summed


def prox_elastic_net(tree: Any, hyperparams: Any = (1.0, 1.0), scaling: Any = 1.0) -> Any:
    r"""The proximal operator of the elastic net: of the l1 norm and a squared l2 norm.

    $$\frac{\operatorname{sign}(x)\,\max(|x| - s\lambda,\ 0)}{1 + s\,\lambda\,\gamma}
    = \arg\min_y \tfrac12\lVert x - y\rVert^2
    + s\,\lambda \left(\lVert y\rVert_1 + \tfrac{\gamma}{2} \lVert y\rVert^2\right)$$

    Args:
      tree: x, arrays of real or complex numbers; None leaves stay.
      hyperparams: the pair (λ, γ), both in [0, inf), each a number, or a tree of numbers or arrays
        that broadcast to the arrays of x. None: ones.
      scaling: s, a number in [0, inf).

    Returns:
      A tree like x. At the threshold the derivative is that from outside.

    Raises:
      TypeError: an array of integers, or a strength that is no real number.
      ValueError: a strength or scaling outside its range, or a tree of strengths that does not
        fit; messages name the argument, or the path.

    References:
      Zou and Hastie, "Regularization and variable selection via the elastic net", Journal of the
      Royal Statistical Society B 67(2), 2005; Parikh and Boyd, "Proximal Algorithms", Foundations
      and Trends in Optimization 1(3), 2014, chapter 6.

    Differs:
      jaxopt takes the derivative at the threshold from inside.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> gl.prox.prox_elastic_net(jnp.array([3.0, -0.5]), (1.0, 1.0)).tolist()
      [1.0, 0.0]
    """
    operand = core.Operand.of("prox_elastic_net", tree)
    pair = (1.0, 1.0) if hyperparams is None else hyperparams
    weights, ridges = operand.pair("hyperparams", pair, ("[0, inf)", "[0, inf)"))

    def formula(x: Any, s: Any, weight: Any, ridge: Any) -> Any:
        return core.soft_threshold(x, s * weight) / (1 + s * weight * ridge)

    return operand.map(formula, operand.scaling(scaling), weights, ridges)


ENTRY = core.Entry(
    prox_elastic_net,
    formula="sign(x) * max(|x| - s * l1, 0) / (1 + s * l1 * gamma)",
    paper=("zou2005elastic",),
    example={"hyperparams": (0.3, 0.7)},
    penalty=summed(
        lambda x, hyperparams: hyperparams[0] * (abs(x) + hyperparams[1] / 2 * abs(x) ** 2)
    ),
    traits=core.Traits(smooth=False, kinks="At the threshold the derivative is that from outside."),
)
