"""The threshold of the continuous exact relaxation of l0."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from gradlab import core
from gradlab.prox._firm import firm_threshold, mcp_penalty
from gradlab.prox._sums import summed


def prox_cel0(tree: Any, hyperparams: Any = (1.0, 1.0), scaling: Any = 1.0) -> Any:
    r"""The proximal operator of CEL0, the continuous exact relaxation of the number of nonzeros.

    $$\operatorname{sign}(x) \min\left(|x|,\ \frac{(|x| - s\,a\sqrt{2\lambda})_+}{1 - a^2 s}
    \right) \ \text{ if } a^2 s < 1, \text{ else hard thresholding at } \sqrt{2 s \lambda}$$

    It minimises ½‖x − y‖² + s Σ h(y) with h(y) = λ − (a²/2)(|y| − √(2λ)/a)² for
    |y| ≤ √(2λ)/a, else λ. Put for λ‖y‖₀ into a least-squares problem in which a is the norm of
    the column that y multiplies, h leaves the global minimisers as they are.

    Args:
      tree: x, arrays of real or complex numbers; None leaves stay.
      hyperparams: the pair (λ, a), λ in [0, inf) and a in (0, inf), each a number, or a tree of
        numbers or arrays that broadcast to the arrays of x. None: ones.
      scaling: s, a number in [0, inf).

    Returns:
      A tree like x. At kinks the derivative is that from outside at s a √(2λ), from inside at
      √(2λ)/a.

    Raises:
      TypeError: an array of integers, or a strength that is no real number.
      ValueError: a strength or scaling outside its range, or a tree of strengths that does not
        fit; messages name the argument, or the path.

    References:
      Soubies, Blanc-Féraud and Aubert, "A continuous exact ℓ0 penalty (CEL0) for least squares
      regularized problem", SIAM Journal on Imaging Sciences 8(3), 2015.

    Differs:
      It is the operator of the minimax concave penalty with λ a√(2λ) and b 1/a², and made of it.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> gl.prox.prox_cel0(jnp.array([3.0, 1.0, 0.5]), (0.5, 1.0), 0.5).tolist()
      [3.0, 1.0, 0.0]
    """
    operand = core.Operand.of("prox_cel0", tree)
    pair = (1.0, 1.0) if hyperparams is None else hyperparams
    weights, columns = operand.pair("hyperparams", pair, ("[0, inf)", "(0, inf)"))

    def formula(x: Any, s: Any, weight: Any, column: Any) -> Any:
        root = core.sqrt(jnp.asarray(2 * weight, x.real.dtype))
        return firm_threshold(x, s, column * root, 1 / column**2)

    return operand.map(formula, operand.scaling(scaling), weights, columns)


ENTRY = core.Entry(
    prox_cel0,
    formula="sign(x) min(|x|, max(|x| - s * a * sqrt(2 * lam), 0) / (1 - a**2 * s))",
    paper=("M079", "soubies2015continuous"),
    example={"hyperparams": (0.3, 0.6)},
    penalty=summed(
        lambda x, hyperparams: mcp_penalty(
            x, hyperparams[1] * jnp.sqrt(2 * hyperparams[0]), hyperparams[1] ** -2
        )
    ),
    traits=core.Traits(
        smooth=False,
        kinks="At the threshold the derivative is that from outside, at sqrt(2 lam) / a that from "
        "inside.",
        expansive="The penalty is not convex.",
    ),
)
