"""Soft thresholding of groups."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradlab import core


def prox_group_lasso(
    tree: Any, l2reg: Any = 1.0, scaling: Any = 1.0, *, axis: int | tuple[int, ...] | None = None
) -> Any:
    r"""The proximal operator of the l2 norm moves a group of numbers nearer to zero together.

    $$\max\left(1 - \frac{s\lambda}{\lVert x\rVert},\ 0\right) x = \arg\min_y
    \tfrac12\lVert x - y\rVert^2 + s\,\lambda\,\lVert y\rVert$$

    with a norm that is not squared, of each group.

    Args:
      tree: x, arrays of real or complex numbers; None leaves stay.
      l2reg: λ, in [0, inf): one number where the tree is one group; else a number, or a tree of
        numbers or arrays that broadcast to the arrays of x with those axes of length one.
        None: one.
      scaling: s, a number in [0, inf).
      axis: over which axes of each array a group extends: -1 makes a group of every row. None:
        all arrays together are one group.

    Returns:
      A tree like x. A group of zeros stays zero, with a finite derivative; at the threshold the
      derivative is that from outside.

    Raises:
      TypeError: an array of integers, or a strength that is no real number.
      ValueError: a strength or scaling outside its range, or a tree of strengths that does not
        fit; messages name the argument, or the path.

    References:
      Yuan and Lin, "Model selection and estimation in regression with grouped variables", Journal
      of the Royal Statistical Society B 68(1), 2006; Parikh and Boyd, "Proximal Algorithms",
      Foundations and Trends in Optimization 1(3), 2014, chapter 6.

    Differs:
      `axis` is not jaxopt's, whose derivative of a group of zeros is not a number.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> gl.prox.prox_group_lasso(jnp.array([[3.0, 4.0], [0.1, 0.0]]), 2.5, axis=-1).tolist()
      [[1.5, 2.0], [0.0, 0.0]]
    """
    operand = core.Operand.of("prox_group_lasso", tree)

    def formula(x: Any, norm: Any, s: Any) -> Any:
        return jnp.where(norm < s, 0, x * (1 - core.divide(s, norm))).astype(x.dtype)

    if axis is None:
        s = operand.strength("l2reg", l2reg, scaling)
        return operand.map(functools.partial(formula, norm=operand.norm(), s=s))
    norms = [core.norm(x, axis=axis, keepdims=True) for x in operand.arrays]
    strengths = operand.strengths("l2reg", l2reg, scaling)
    for norm, s, path in zip(norms, strengths, operand.paths, strict=True):
        if np.broadcast_shapes(norm.shape, np.shape(s)) != norm.shape:
            raise ValueError(
                f"prox_group_lasso: l2reg of shape {np.shape(s)} is not one number for each group "
                f"of the array at {path}, as shape {norm.shape} is"
            )
    return operand.map(formula, norms, strengths)


def _penalty(tree: Any, l2reg: Any) -> Any:
    return l2reg * jnp.sqrt(sum(jnp.sum(abs(x) ** 2) for x in jax.tree.leaves(tree)))


ENTRY = core.Entry(
    prox_group_lasso,
    formula="x * max(1 - s * l2reg / |x|, 0)",
    paper=("yuan2006model",),
    example={"l2reg": 1.3},
    penalty=_penalty,
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="At the threshold the derivative is that from outside.",
    ),
)
