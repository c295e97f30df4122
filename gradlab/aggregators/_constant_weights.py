"""A combination of the gradients with weights that stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.aggregators._weighting import Weighting, denied
from gradlab.core import Scalar, hyper


class ConstantWeights(Weighting):
    """Combines the gradients with given weights."""

    holds = ("linear under scaling", "strongly stationary")
    fails = denied(
        {
            "non-conflicting": ((1, 0), (-9, 1)),
            "permutation invariant": ((1, 0), (0, 1)),
            "idempotent": ((1, 2),),
            "mean without conflict": ((1, 0), (0, 1)),
        }
    )

    weights: Sequence[Scalar] = hyper()

    def weigh(self, gram: jax.Array, state: Any, **extra: Any) -> tuple[jax.Array, Any]:
        del extra
        weights = jnp.asarray(self.weights, gram.dtype)
        if weights.ndim != 1:
            raise ValueError(f"constant_weights: weights has shape {weights.shape}, not (k,)")
        self.check_count(len(weights), len(gram))
        return weights, state


@core.builds(ConstantWeights)
def constant_weights(weights: Sequence[Scalar]):
    r"""Constant weights combine the gradients as one writes a weighted sum of losses.

    $$u = \sum_i c_i g_i$$

    Gradients come in with a leading axis of objectives on every array, as `jax.jacrev` gives
    them, and go out without it. The weights are hyperparameters, with hypergradients.

    Args:
      weights: weight c of each objective, any real numbers, as a sequence.

    Returns:
      The transformation, to be the first link of a chain. No state.

    Raises:
      ValueError: gradients without the leading axis, or another number of them than weights.

    Properties:
      With different positive weights: linear under scaling, strongly stationary.
      Not non-conflicting: [[1, 0], [-9, 1]]. Not permutation invariant: [[1, 0], [0, 1]].
      Not idempotent: [[1, 2]]. Not mean without conflict: [[1, 0], [0, 1]].

    References:
      Quinton and Rey, "Jacobian Descent For Multi-Objective Optimization",
      arXiv:2406.16232v3, for the setting.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> weighted = gl.constant_weights([2.0, 0.5])
      >>> gradients = jnp.array([[1.0, 0.0], [-2.0, 1.0]])
      >>> weighted.update(gradients, weighted.init(jnp.zeros(2)))[0].tolist()
      [1.0, 0.5]
    """


ENTRY = core.Entry(
    constant_weights,
    formula="u = sum_i c_i g_i",
    paper=("M066",),
    example={"weights": (0.5, 0.3, 0.2)},
    needs=("stacked",),
    traits=core.Traits(
        temporaries="gradients are combined by a matrix product, whose result is stored",
    ),
)
