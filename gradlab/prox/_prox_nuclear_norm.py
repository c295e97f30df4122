"""Singular value thresholding."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from gradlab import core, linalg
from gradlab.prox._sums import summed


def prox_nuclear_norm(tree: Any, strength: Any = 1.0, scaling: Any = 1.0) -> Any:
    r"""Singular value thresholding, the proximal operator of the nuclear norm, lowers the rank.

    $$U \operatorname{diag}\left(\max(\sigma - s\lambda,\ 0)\right) V^\top
    = \arg\min_Y \tfrac12\lVert X - Y\rVert_F^2 + s\,\lambda\,\lVert Y\rVert_*,
    \qquad X = U \operatorname{diag}(\sigma)\, V^\top$$

    Args:
      tree: x, arrays of real or complex numbers; None leaves stay.
      strength: λ, in [0, inf): a number, or a tree of numbers or arrays that broadcast to the
        leading axes of the arrays of x, one for each matrix of a stack. None: one.
      scaling: s, a number in [0, inf).

    Returns:
      A tree like x. First derivatives are exact for singular values that are equal or zero, too;
      second derivatives are not finite there. At the threshold they are those from above.

    Raises:
      TypeError: an array of integers, or a strength that is no real number.
      ValueError: a strength or scaling outside its range, or a tree of strengths that does not
        fit; messages name the argument, or the path.

    References:
      Cai, Candès and Shen, "A singular value thresholding algorithm for matrix completion",
      SIAM Journal on Optimization 20(4), 2010, arXiv:0810.3286, theorem 2.1.

    Differs:
      Every array is a stack of matrices along its last two axes, each with a norm of its own.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> gl.prox.prox_nuclear_norm(jnp.diag(jnp.array([3.0, 0.5])), 1.0).round(3).tolist()
      [[2.0, 0.0], [0.0, 0.0]]
    """
    operand = core.Operand.of("prox_nuclear_norm", tree, ndim=2)
    strengths = operand.strengths("strength", strength, scaling, inner=2)
    return operand.map(linalg.singular_value_threshold, strengths)


def _penalty(x: Any, strength: Any) -> Any:
    return strength * jnp.linalg.svd(x, compute_uv=False)


ENTRY = core.Entry(
    prox_nuclear_norm,
    formula="U diag(max(sigma - s * strength, 0)) V^T",
    paper=("cai2010singular",),
    example={"strength": 0.6},
    needs=("matrices",),
    penalty=summed(_penalty),
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="Where a singular value is at the threshold the derivative is that from above.",
    ),
)
