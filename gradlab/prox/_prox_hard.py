"""Hard thresholding."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.prox._sums import summed


def prox_hard(tree: Any, strength: Any = 1.0, scaling: Any = 1.0) -> Any:
    r"""Hard thresholding, the proximal operator of the number of nonzero entries, keeps or drops.

    $$x \ \text{ for } |x| \ge \sqrt{2 s \lambda}, \text{ else } 0$$

    It minimises ½(x − y)² + s λ [y ≠ 0]. At the threshold it jumps.

    Args:
      tree: x, arrays of real or complex numbers; None leaves stay.
      strength: λ, in [0, inf): a number, or a tree of numbers or arrays that broadcast
        to the arrays of x. None: one.
      scaling: s, a number in [0, inf).

    Returns:
      A tree like x. The derivative by x is one or zero, by the strength zero.

    Raises:
      TypeError: an array of integers, or a strength that is no real number.
      ValueError: a strength or scaling outside its range, or a tree of strengths that does not
        fit; messages name the argument, or the path.

    References:
      Blumensath and Davies, "Iterative thresholding for sparse approximations", Journal of
      Fourier Analysis and Applications 14, 2008; Parikh and Boyd, "Proximal Algorithms",
      Foundations and Trends in Optimization 1(3), 2014, chapter 6.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> gl.prox.prox_hard(jnp.array([3.0, 1.4]), 1.0).tolist()
      [3.0, 0.0]
    """
    operand = core.Operand.of("prox_hard", tree)

    def formula(x: Any, s: Any) -> Any:
        return jnp.where(core.absolute(x) < jnp.sqrt(2 * jax.lax.stop_gradient(s)), 0, x)

    return operand.map(formula, operand.strengths("strength", strength, scaling))


ENTRY = core.Entry(
    prox_hard,
    formula="x where |x| >= sqrt(2 * s * strength), else 0",
    paper=("M079", "blumensath2008iterative"),
    example={"strength": 0.3},
    penalty=summed(lambda x, strength: strength * (x != 0)),
    traits=core.Traits(
        smooth=False,
        kinks="At the threshold it jumps; the jump has derivative zero.",
        expansive="The penalty is not convex.",
    ),
)
