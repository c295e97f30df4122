"""Signals made constant in pieces."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core, linalg
from gradlab.prox._sums import summed


def prox_total_variation(tree: Any, strength: Any = 1.0, scaling: Any = 1.0) -> Any:
    r"""The proximal operator of the total variation makes signals constant in pieces.

    $$\arg\min_y \tfrac12\lVert x - y\rVert^2 + s\,\lambda \sum_i |y_{i+1} - y_i|$$

    Args:
      tree: x, arrays of real numbers; the last axis of each is a signal. None leaves stay.
      strength: λ, in [0, inf): a number, or a tree of numbers or arrays that broadcast to the
        leading axes of the arrays of x, one for each signal. None: one.
      scaling: s, a number in [0, inf).

    Returns:
      A tree like x, exact up to rounding: no iteration to a tolerance. The derivative is that for
      the same pieces being constant. A signal with a number that is not finite is not smoothed.

    Raises:
      TypeError: an array of integers or complex numbers, or a strength that is no real number.
      ValueError: an array without axes, a strength or scaling outside its range, or a tree of
        strengths that does not fit; messages name the argument, or the path.

    References:
      Condat, "A direct algorithm for 1-D total variation denoising", IEEE Signal Processing
      Letters 20(11), 2013, the algorithm of section III.

    Differs:
      The values of pieces are computed anew from their ends: means of x, moved by λ over their
      length for each neighbour. Time is linear in practice, and quadratic in the worst case.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> gl.prox.prox_total_variation(jnp.array([0.0, 1.0, 5.0, 6.0]), 1.0).tolist()
      [1.0, 1.0, 5.0, 5.0]
    """
    operand = core.Operand.of("prox_total_variation", tree, real=True, ndim=1)

    def formula(x: Any, s: Any) -> Any:
        every = jnp.broadcast_to(s, x.shape[:-1]).reshape(-1)
        signals = x.reshape(every.size, x.shape[-1])
        return jax.vmap(linalg.total_variation_prox)(signals, every).reshape(x.shape)

    return operand.map(formula, operand.strengths("strength", strength, scaling, inner=1))


ENTRY = core.Entry(
    prox_total_variation,
    formula="argmin |x - y|**2 / 2 + s * strength * sum |y[i+1] - y[i]|",
    paper=("condat2013direct",),
    example={"strength": 0.3},
    needs=("matrices",),
    penalty=summed(lambda x, strength: strength * jnp.abs(jnp.diff(x))),
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="The derivative is that for the same pieces being constant.",
        complex=False,
    ),
)
