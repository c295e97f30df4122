"""The nearest point of a polyhedron."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradlab import core, linalg
from gradlab.projections._vectors import described, indicator, nearest, span_and_solution, vector

# Outside of a program, too, where its loops would be compiled anew at every call.
_weights = jax.jit(linalg.nonnegative_qp)


def projection_polyhedron(x: Any, a: Any, b: Any, g: Any, h: Any) -> Any:
    r"""The nearest point that satisfies linear equations and inequalities.

    $$\arg\min_y \lVert x - y\rVert \ \text{ subject to } A y = b,\ G y \le h$$

    It is the nearest point of the affine set less a combination of the rows of G, whose weights
    solve the dual program, a quadratic one over numbers that are not negative.

    Args:
      x: a vector of n real numbers.
      a: A, of shape (m, n) with m ≤ n, its rows linearly independent. None: no equations.
      b: of shape (m,), or None.
      g: G, of shape (k, n).
      h: of shape (k,).

    Returns:
      A vector like x. The derivative is that for the same inequalities being tight. Of an empty
      polyhedron it makes no point of it.

    Raises:
      TypeError: integers or complex numbers.
      ValueError: other shapes; the message names the argument.

    References:
      Boyd and Vandenberghe, "Convex Optimization", Cambridge University Press 2004, section 8.1;
      Parikh and Boyd, "Proximal Algorithms", Foundations and Trends in Optimization 1(3), 2014,
      chapter 6.

    Differs:
      jaxopt takes the four arrays as one tuple, solves by ADMM, and can say that the polyhedron
      is empty.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> x, g, h = jnp.array([2.0, 2.0]), jnp.ones((1, 2)), jnp.ones(1)
      >>> gl.projections.projection_polyhedron(x, None, None, g, h).round(3).tolist()
      [0.5, 0.5]
    """
    owner = "projection_polyhedron"
    operand = vector(owner, x)
    n, k = operand.arrays[0].size, np.shape(g)[:1] or (None,)
    if (a is None) != (b is None):
        raise ValueError(f"{owner}: of a and b one is None, the other is not")
    m = (None,) if a is None else np.shape(a)[:1] or (None,)
    a = np.zeros((0, n)) if a is None else a
    b = np.zeros(0) if b is None else b
    a, b, g, h = described(operand, a=(a, (None, n)), b=(b, m), g=(g, (None, n)), h=(h, k))
    rows, solution = span_and_solution(a, b) if len(a) else (a, jnp.zeros(n, a.dtype))
    along = g - (g @ rows.T) @ rows
    sizes = core.norm(along, axis=1, keepdims=True)
    units = core.divide(along, sizes)

    def formula(x: Any) -> Any:
        start = nearest(x, rows, solution)
        slack = core.divide(h - g @ start, sizes[:, 0])
        return start - _weights(units @ units.T, slack) @ units

    return operand.map(formula)


def _violation(x: Any, a: Any, b: Any, g: Any, h: Any) -> Any:
    return jnp.maximum(jnp.max(jnp.abs(a @ x - b)), jnp.max(g @ x - h))


ENTRY = core.Entry(
    projection_polyhedron,
    formula="P x - G^T y, y = argmin over y >= 0 of y^T G G^T y / 2 + (h - G P x)^T y",
    paper=("boyd2004convex",),
    example={
        "a": np.array([[1.0, 1.0, 0.0, -1.0, 0.5]]),
        "b": np.array([0.3]),
        "g": np.array([[1.0, 0, 0, 0, 0], [0, -1.0, 0.5, 0, 0], [0, 0, 1.0, 1.0, 1.0]]),
        "h": np.array([0.2, 0.1, 0.4]),
    },
    needs=("vector",),
    penalty=lambda x, **set_: indicator(_violation(x, **set_)),
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="The derivative is that for the same inequalities being tight.",
        complex=False,
    ),
)
