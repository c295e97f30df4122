"""The operator of no penalty."""

from __future__ import annotations

from typing import Any

from gradlab import core
from gradlab.prox._sums import summed


def prox_none(tree: Any, hyperparams: Any = None, scaling: Any = 1.0) -> Any:
    r"""The proximal operator of nothing is the identity.

    $$\arg\min_y \tfrac12\lVert x - y\rVert^2 = x$$

    Args:
      tree: x, arrays of real or complex numbers; None leaves stay.
      hyperparams: ignored.
      scaling: s, a number in [0, inf).

    Returns:
      The tree itself.

    Raises:
      TypeError: an array of integers, or a strength that is no real number.
      ValueError: a strength or scaling outside its range, or a tree of strengths that does not
        fit; messages name the argument, or the path.

    References:
      Parikh and Boyd, "Proximal Algorithms", Foundations and Trends in Optimization 1(3), 2014,
      section 1.1.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> gl.prox.prox_none(jnp.array([1.0, -2.0])).tolist()
      [1.0, -2.0]
    """
    del hyperparams
    operand = core.Operand.of("prox_none", tree)
    operand.scaling(scaling)
    return tree


ENTRY = core.Entry(
    prox_none,
    formula="x",
    paper=("parikh2014proximal",),
    example={},
    penalty=summed(lambda x: 0 * x.real),
)
