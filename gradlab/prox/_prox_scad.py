"""The threshold of the smoothly clipped absolute deviation."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.prox._sums import summed


def prox_scad(tree: Any, hyperparams: Any = (1.0, 3.7), scaling: Any = 1.0) -> Any:
    r"""The proximal operator of the smoothly clipped absolute deviation (SCAD).

    $$\begin{cases} \operatorname{sign}(x)\,(|x| - s\lambda)_+ & |x| \le (1 + s)\lambda \\
    \frac{(a - 1)\,x - s\,a\lambda \operatorname{sign} x}{a - 1 - s} & (1 + s)\lambda < |x|
    \le a\lambda \\ x & \text{else} \end{cases}$$

    It minimises ½‖x − y‖² + s Σ h(y) with h(y) = λ|y| up to λ,
    (2aλ|y| − y² − λ²) / (2(a − 1)) up to aλ, and λ²(a + 1)/2 from there on. With s ≥ a − 1 it
    jumps from the first case to the last where both cost the same.

    Args:
      tree: x, arrays of real or complex numbers; None leaves stay.
      hyperparams: the pair (λ, a), λ in [0, inf) and a in (2, inf), each a number, or a tree of
        numbers or arrays that broadcast to the arrays of x. None: 1 and 3.7.
      scaling: s, a number in [0, inf).

    Returns:
      A tree like x. At the first kink the derivative is that from outside, at the others from
      inside.

    Raises:
      TypeError: an array of integers, or a strength that is no real number.
      ValueError: a strength or scaling outside its range, or a tree of strengths that does not
        fit; messages name the argument, or the path.

    References:
      Fan and Li, "Variable selection via nonconcave penalized likelihood and its oracle
      properties", Journal of the American Statistical Association 96(456), 2001, equation 2.8.

    Differs:
      The paper has s = 1 alone.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> gl.prox.prox_scad(jnp.array([4.0, 1.5, 0.5]), (1.0, 3.7)).tolist()
      [4.0, 0.5, 0.0]
    """
    operand = core.Operand.of("prox_scad", tree)
    pair = (1.0, 3.7) if hyperparams is None else hyperparams
    weights, ends = operand.pair("hyperparams", pair, ("[0, inf)", "(2, inf)"))

    def formula(x: Any, s: Any, weight: Any, a: Any) -> Any:
        s, weight, a = (jnp.asarray(v, x.real.dtype) for v in (s, weight, a))
        size, near = core.absolute(x), core.soft_threshold(x, s * weight)
        continuous = s < a - 1
        slope = jnp.where(continuous, a - 1 - s, 1)
        middle = ((a - 1) * x - s * a * weight * core.direction(x)) / slope
        joined = jnp.where(size <= a * weight, middle, x)
        tie = jnp.where(s < a + 1, (s + a + 1) / 2, core.sqrt(s * (a + 1)))
        tie = jax.lax.stop_gradient(jnp.where(continuous, 1 + s, tie)) * weight
        return jnp.where(size <= tie, near, jnp.where(continuous, joined, x))

    return operand.map(formula, operand.scaling(scaling), weights, ends)


def _penalty(x: Any, hyperparams: tuple) -> Any:
    weight, a = hyperparams
    size = abs(x)
    middle = (2 * a * weight * size - size**2 - weight**2) / (2 * (a - 1))
    end = jnp.where(size <= a * weight, middle, weight**2 * (a + 1) / 2)
    return jnp.where(size <= weight, weight * size, end)


ENTRY = core.Entry(
    prox_scad,
    formula="soft threshold to (1 + s) lam, then ((a-1) x - s a lam sign(x)) / (a-1-s) to a lam",
    paper=("fan2001variable",),
    example={"hyperparams": (0.3, 3.7)},
    penalty=summed(_penalty),
    traits=core.Traits(
        smooth=False,
        kinks="At s * lam the derivative is that from outside, at further kinks from inside.",
        expansive="The penalty is not convex.",
    ),
)
