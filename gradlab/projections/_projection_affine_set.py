"""The nearest point of an affine set."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from gradlab import core
from gradlab.projections._vectors import described, indicator, nearest, span_and_solution, vector


def projection_affine_set(x: Any, a: Any, b: Any) -> Any:
    r"""The nearest point of an affine set solves linear equations.

    $$x - A^\top (A A^\top)^{-1} (A x - b) = \arg\min_y \lVert x - y\rVert
    \ \text{ subject to } A y = b$$

    Args:
      x: a vector of n real numbers.
      a: A, of shape (m, n) with m ≤ n, its rows linearly independent.
      b: of shape (m,).

    Returns:
      A vector like x.

    Raises:
      TypeError: integers or complex numbers.
      ValueError: other shapes; the message names the argument.

    References:
      Parikh and Boyd, "Proximal Algorithms", Foundations and Trends in Optimization 1(3), 2014,
      chapter 6.

    Differs:
      jaxopt takes A and b as one pair, and solves iteratively; here a QR factorisation does.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> x = jnp.array([1.0, 0.0, 0.0])
      >>> gl.projections.projection_affine_set(x, jnp.ones((1, 3)), jnp.ones(1)).round(3).tolist()
      [1.0, 0.0, 0.0]
    """
    operand = vector("projection_affine_set", x)
    n = operand.arrays[0].size
    a, b = described(operand, a=(a, (None, n)), b=(b, (np.shape(a)[:1] or (None,))))
    if len(a) > n:
        raise ValueError(f"projection_affine_set: a has {len(a)} rows, more than {n} columns")
    rows, solution = span_and_solution(a, b)
    return operand.map(lambda x: nearest(x, rows, solution))


ENTRY = core.Entry(
    projection_affine_set,
    formula="x - A^T (A A^T)^-1 (A x - b)",
    paper=("parikh2014proximal",),
    example={
        "a": np.array([[1.0, 2.0, 0.0, -1.0, 0.5], [0.0, 1.0, 1.0, 1.0, -1.0]]),
        "b": np.array([1.0, -0.5]),
    },
    needs=("vector",),
    penalty=lambda x, a, b: indicator(jnp.max(jnp.abs(a @ x - b))),
    traits=core.Traits(elementwise=False, complex=False),
)
