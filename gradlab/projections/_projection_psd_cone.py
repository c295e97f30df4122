"""The nearest positive semi-definite matrix."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core, linalg
from gradlab.projections._vectors import indicator


def projection_psd_cone(tree: Any) -> Any:
    r"""The nearest positive semi-definite matrix has no negative eigenvalues.

    $$Q \operatorname{diag}\left(\max(\lambda, 0)\right) Q^\top, \qquad
    \tfrac12 (X + X^\top) = Q \operatorname{diag}(\lambda)\, Q^\top$$

    Args:
      tree: arrays of real or complex numbers whose last two axes are square matrices.

    Returns:
      A tree like the argument, of symmetric (Hermitian) matrices. First derivatives are exact
      where eigenvalues are equal, too; second derivatives are not finite there. Where one is zero
      they are those from above.

    Raises:
      TypeError: integers.
      ValueError: an array of other matrices.

    References:
      Higham, "Computing a nearest symmetric positive semidefinite matrix", Linear Algebra and its
      Applications 103, 1988; Parikh and Boyd, "Proximal Algorithms", Foundations and Trends in
      Optimization 1(3), 2014, chapter 6.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> gl.projections.projection_psd_cone(jnp.diag(jnp.array([2.0, -1.0]))).tolist()
      [[2.0, 0.0], [0.0, 0.0]]
    """
    operand = core.Operand.of("projection_psd_cone", tree, ndim=2)
    for x, path in zip(operand.arrays, operand.paths, strict=True):
        if x.shape[-1] != x.shape[-2]:
            raise ValueError(
                f"projection_psd_cone: the array at {path}, of shape {x.shape}, is not of square "
                "matrices"
            )
    return operand.map(linalg.positive_semidefinite_part)


def _violation(x: Any) -> Any:
    skew = jnp.max(jnp.abs(x - jnp.conj(jnp.swapaxes(x, -1, -2))))
    return jnp.maximum(skew, -jnp.min(jnp.linalg.eigvalsh(x)))


ENTRY = core.Entry(
    projection_psd_cone,
    formula="Q diag(max(lambda, 0)) Q^T",
    paper=("higham1988computing",),
    example={},
    needs=("symmetric",),
    penalty=lambda tree: sum(indicator(_violation(x)) for x in jax.tree.leaves(tree)),
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="Where an eigenvalue is zero the derivative is that from above.",
    ),
)
