"""The operator of Huber's loss."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from gradlab import core
from gradlab.prox._sums import summed


def prox_huber(tree: Any, hyperparams: Any = (1.0, 1.0), scaling: Any = 1.0) -> Any:
    r"""The proximal operator of Huber's loss shrinks small numbers and shifts large ones.

    $$\begin{cases} \frac{x}{1 + s\lambda} & |x| \le \delta (1 + s\lambda) \\
    x - s\lambda\,\delta \operatorname{sign} x & \text{else} \end{cases}$$

    It minimises ½‖x − y‖² + s λ Σ h(y) with h(y) = y²/2 for |y| ≤ δ, else δ(|y| − δ/2).

    Args:
      tree: x, arrays of real or complex numbers; None leaves stay.
      hyperparams: the pair (λ, δ), both in [0, inf), each a number, or a tree of numbers or arrays
        that broadcast to the arrays of x. None: ones.
      scaling: s, a number in [0, inf).

    Returns:
      A tree like x. At the kink the derivative is that from inside.

    Raises:
      TypeError: an array of integers, or a strength that is no real number.
      ValueError: a strength or scaling outside its range, or a tree of strengths that does not
        fit; messages name the argument, or the path.

    References:
      Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics 35(1),
      1964; Parikh and Boyd, "Proximal Algorithms", Foundations and Trends in Optimization 1(3),
      2014, chapter 6.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> gl.prox.prox_huber(jnp.array([4.0, 1.0]), (1.0, 1.0)).tolist()
      [3.0, 0.5]
    """
    operand = core.Operand.of("prox_huber", tree)
    pair = (1.0, 1.0) if hyperparams is None else hyperparams
    weights, widths = operand.pair("hyperparams", pair, ("[0, inf)", "[0, inf)"))

    def formula(x: Any, s: Any, weight: Any, width: Any) -> Any:
        s = s * weight
        inside = core.absolute(x) <= width * (1 + s)
        return jnp.where(inside, x / (1 + s), x - s * width * core.direction(x))

    return operand.map(formula, operand.scaling(scaling), weights, widths)


def _penalty(x: Any, hyperparams: tuple) -> Any:
    weight, width = hyperparams
    size = abs(x)
    return weight * jnp.where(size <= width, size**2 / 2, width * (size - width / 2))


ENTRY = core.Entry(
    prox_huber,
    formula="x / (1 + s * lam) where |x| <= delta (1 + s * lam), else x - s * lam * delta sign(x)",
    paper=("huber1964robust",),
    example={"hyperparams": (0.3, 0.7)},
    penalty=summed(_penalty),
    traits=core.Traits(smooth=False, kinks="At the kink the derivative is that from inside."),
)
