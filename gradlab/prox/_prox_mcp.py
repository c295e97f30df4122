"""Firm thresholding."""

from __future__ import annotations

from typing import Any

from gradlab import core
from gradlab.prox._firm import firm_threshold, mcp_penalty
from gradlab.prox._sums import summed


def prox_mcp(tree: Any, hyperparams: Any = (1.0, 3.0), scaling: Any = 1.0) -> Any:
    r"""Firm thresholding, the proximal operator of the minimax concave penalty (MCP).

    $$\begin{cases} 0 & |x| \le s\lambda \\
    \frac{x - s\lambda \operatorname{sign} x}{1 - s/b} & s\lambda < |x| \le b\lambda \\
    x & \text{else} \end{cases} \qquad h(y) = \sum \begin{cases}
    \lambda |y| - \frac{y^2}{2b} & |y| \le b\lambda \\ \frac{b\lambda^2}{2} & \text{else}
    \end{cases}$$

    It minimises ½‖x − y‖² + s h(y). With s ≥ b it is hard thresholding at λ√(sb).

    Args:
      tree: x, arrays of real or complex numbers; None leaves stay.
      hyperparams: the pair (λ, b), λ in [0, inf) and b in (0, inf), each a number, or a tree of
        numbers or arrays that broadcast to the arrays of x. None: 1 and 3.
      scaling: s, a number in [0, inf).

    Returns:
      A tree like x. At kinks the derivative is that from outside at sλ, from inside at bλ.

    Raises:
      TypeError: an array of integers, or a strength that is no real number.
      ValueError: a strength or scaling outside its range, or a tree of strengths that does not
        fit; messages name the argument, or the path.

    References:
      Zhang, "Nearly unbiased variable selection under minimax concave penalty", Annals of
      Statistics 38(2), 2010, arXiv:1002.4734; Gao and Bruce, "WaveShrink with firm shrinkage",
      Statistica Sinica 7, 1997, for the operator.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> gl.prox.prox_mcp(jnp.array([4.0, 1.5, 0.5]), (1.0, 2.0)).tolist()
      [4.0, 1.0, 0.0]
    """
    operand = core.Operand.of("prox_mcp", tree)
    pair = (1.0, 3.0) if hyperparams is None else hyperparams
    weights, widths = operand.pair("hyperparams", pair, ("[0, inf)", "(0, inf)"))
    return operand.map(firm_threshold, operand.scaling(scaling), weights, widths)


ENTRY = core.Entry(
    prox_mcp,
    formula="sign(x) max(|x| - s * lam, 0) / (1 - s / b) where |x| <= b * lam, else x",
    paper=("zhang2010mcp",),
    example={"hyperparams": (0.3, 3.0)},
    penalty=summed(lambda x, hyperparams: mcp_penalty(x, *hyperparams)),
    traits=core.Traits(
        smooth=False,
        kinks="At s * lam the derivative is that from outside, at b * lam from inside.",
        expansive="The penalty is not convex.",
    ),
)
