"""Aligned-MTL: gradients made orthogonal and equally long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core, linalg
from gradlab.aggregators._weighting import Weighting, denied, preferences
from gradlab.core import Scalar, hyper, static


class AlignedMtl(Weighting):
    """Replaces the stack of gradients by the nearest one with equal singular values."""

    holds = ("permutation invariant", "strongly stationary", "idempotent")
    fails = denied(
        {
            "non-conflicting": ((1, 0), (-4, 1)),
            "linear under scaling": ((1, 0), (0, 1)),
            "mean without conflict": ((1, 0), (0, 2)),
        }
    )

    pref_vector: Sequence[Scalar] | None = hyper("[0, inf)")
    scale_mode: str = static(convert=core.one_of("min", "median", "rmse"))

    def weigh(self, gram: jax.Array, state: Any, **extra: Any) -> tuple[jax.Array, Any]:
        del extra
        wanted = preferences(self, len(gram), 1 / len(gram)).astype(gram.dtype)
        gram = core.divide(gram, jnp.max(jnp.diagonal(gram)))
        values, inside = linalg.psd_eigenvalues(gram)
        rank = jnp.sum(inside)
        first = jnp.minimum(len(gram) - rank, len(gram) - 1)
        scale = {
            "min": values[first],
            "median": values[first + jnp.maximum(rank - 1, 0) // 2],
            "rmse": jnp.sum(jnp.where(inside, values, 0)) / jnp.maximum(rank, 1),
        }[self.scale_mode]
        scale = jnp.where(rank > 0, jnp.maximum(scale, 0), 0)
        return core.sqrt(scale) * (linalg.psd_inverse(gram, True) @ wanted), state


@core.builds(AlignedMtl)
def aligned_mtl(pref_vector: Sequence[Scalar] | None = None, scale_mode: str = "min"):
    r"""Aligned-MTL combines gradients after making them orthogonal and equally long.

    $$u = \sigma\, J^\top (J J^\top)^{-1/2}\, c$$

    where the rows of J are the gradients: in place of them stand the principal directions of
    the stack, all with the length σ, so that the combination is as stable as it can be.
    Gradients come in with a leading axis of objectives on every array, as `jax.jacrev` gives
    them, and go out without it. Inner products are taken over all arrays together.

    Args:
      pref_vector: weight c of each objective, in [0, inf), as a sequence; None for the mean.
      scale_mode: how σ comes from the singular values that are not zero: `"min"`, the least
        as in the paper, `"median"`, or `"rmse"`, the root of their mean square.

    Returns:
      The transformation, to be the first link of a chain. No state.

    Raises:
      ValueError: gradients without the leading axis, such as a sum; a preference of the
        wrong length; a number outside its range; another scale mode.

    Properties:
      Permutation invariant, strongly stationary, idempotent.
      Not non-conflicting: [[1, 0], [-4, 1]].
      Not linear under scaling: [[1, 0], [0, 1]].
      Not mean without conflict: [[1, 0], [0, 2]].

    References:
      Senushkin et al., "Independent Component Alignment for Multi-Task Learning",
      arXiv:2305.19000, Algorithm 1.

    Differs:
      Singular values below the precision of the Gramian count as zero and are left out. The
      derivative is taken at constant rank, and where the least two are equal that of one.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> aligned = gl.aligned_mtl()
      >>> gradients = jnp.array([[4.0, 0.0], [0.0, 1.0]])
      >>> update, _ = aligned.update(gradients, aligned.init(jnp.zeros(2)))
      >>> [round(float(x), 4) for x in update]
      [0.5, 0.5]
    """


ENTRY = core.Entry(
    aligned_mtl,
    formula="u = s J' (J J')^(-1/2) c, s the least singular value of J",
    paper=("senushkin2023independent",),
    example={},
    needs=("stacked",),
    traits=core.Traits(elementwise=False),
)
