"""The operator of the logarithmic barrier."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from gradlab import core
from gradlab.prox._sums import summed


def prox_log_barrier(tree: Any, strength: Any = 1.0, scaling: Any = 1.0) -> Any:
    r"""The proximal operator of minus the logarithm makes every number positive.

    $$\tfrac12\left(x + \sqrt{x^2 + 4 s \lambda}\right) = \arg\min_{y > 0}
    \tfrac12\lVert x - y\rVert^2 - s\,\lambda \sum \log y$$

    Args:
      tree: x, arrays of real numbers; None leaves stay.
      strength: λ, in [0, inf): a number, or a tree of numbers or arrays that broadcast
        to the arrays of x. None: one.
      scaling: s, a number in [0, inf).

    Returns:
      A tree like x. A strength of zero leaves max(x, 0), whose derivative at zero is taken as
      one half.

    Raises:
      TypeError: an array of integers or complex numbers, or a strength that is no real number.
      ValueError: a strength or scaling outside its range, or a tree of strengths that does not
        fit; messages name the argument, or the path.

    References:
      Parikh and Boyd, "Proximal Algorithms", Foundations and Trends in Optimization 1(3), 2014,
      chapter 6.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> gl.prox.prox_log_barrier(jnp.array([1.5, -1.5]), 1.0).tolist()
      [2.0, 0.5]
    """
    operand = core.Operand.of("prox_log_barrier", tree, real=True)

    def formula(x: Any, s: Any) -> Any:
        root = core.sqrt(x**2 + 4 * s)
        # Of a negative number the sum would be a small difference.
        below = core.divide(2 * s, root - x)
        return jnp.where(x < 0, below, (x + root) / 2)

    return operand.map(formula, operand.strengths("strength", strength, scaling))


ENTRY = core.Entry(
    prox_log_barrier,
    formula="(x + sqrt(x**2 + 4 * s * strength)) / 2",
    paper=("parikh2014proximal",),
    example={"strength": 0.3},
    penalty=summed(
        lambda x, strength: jnp.where(x > 0, -strength * jnp.log(jnp.where(x > 0, x, 1)), jnp.inf)
    ),
    traits=core.Traits(complex=False),
)
