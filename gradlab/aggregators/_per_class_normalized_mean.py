"""Gradients of classes, each divided by its length."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.aggregators._weighting import Weighting, denied


class PerClassNormalizedMean(Weighting):
    """Adds unit gradients."""

    holds = ("permutation invariant", "strongly stationary")
    fails = denied(
        {
            "non-conflicting": ((1, 0), (-2, 1), (-2, -1)),
            "linear under scaling": ((1, 0), (0, 1)),
            "idempotent": ((1, 2),),
            "mean without conflict": ((1, 0), (0, 2)),
        }
    )

    def weigh(self, gram: jax.Array, state: Any, **extra: Any) -> tuple[jax.Array, Any]:
        del extra
        return core.divide(1.0, core.sqrt(jnp.diagonal(gram))), state


@core.builds(PerClassNormalizedMean)
def per_class_normalized_mean():
    r"""Per-class normalisation gives rare classes the pull of frequent ones.

    $$u = \sum_c \frac{g_c}{\lVert g_c \rVert}$$

    where $g_c$ is the gradient of the loss on the examples of class c. With plain gradients
    the loss on a rare class first rises. Gradients come in with a leading axis of classes on
    every array, as `jax.jacrev` gives them, and go out without it. Norms are over all arrays
    together.

    Args:
      There are none.

    Returns:
      The transformation, to be the first link of a chain. No state.

    Raises:
      ValueError: gradients without the leading axis, such as a sum.

    Properties:
      Permutation invariant, strongly stationary.
      Not non-conflicting: [[1, 0], [-2, 1], [-2, -1]]. Not linear under scaling:
      [[1, 0], [0, 1]]. Not idempotent: [[1, 2]]. Not mean without conflict: [[1, 0], [0, 2]].

    References:
      Francazi, Baity-Jesi and Lucchi, "A Theoretical Analysis of the Learning Dynamics under
      Class Imbalance", arXiv:2207.00391v4, the methods PCNGD and PCNSGD.

    Differs:
      A class without a gradient, such as one that a batch has no example of, is left out.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> normalized = gl.per_class_normalized_mean()
      >>> gradients = jnp.array([[9.0, 0.0], [0.0, 0.5]])
      >>> normalized.update(gradients, normalized.init(jnp.zeros(2)))[0].tolist()
      [1.0, 1.0]
    """


ENTRY = core.Entry(
    per_class_normalized_mean,
    formula="u = sum_c g_c / |g_c|",
    paper=("M020",),
    example={},
    needs=("stacked",),
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="At a gradient of zero its direction jumps; the derivative is taken as zero there.",
    ),
)
