"""Uncertainty weighting: a learned variance for each loss."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.aggregators._weighting import Weighting, denied
from gradlab.core import Params, Scalar, hyper, static


class UncertaintyWeightingState(NamedTuple):
    """State of `uncertainty_weighting`: the logarithm of each objective's variance."""

    log_variances: jax.Array


class UncertaintyWeighting(Weighting):
    """Weighs gradients by variances that are learned from the losses."""

    needs = ("losses",)
    holds = ("linear under scaling", "permutation invariant", "strongly stationary")
    fails = denied(
        {
            "non-conflicting": ((1, 0), (-2, 1)),
            "idempotent": ((1, 2),),
            "mean without conflict": ((1, 0), (0, 1), (1, 1)),
        }
    )

    objectives: int = static(convert=core.count_at_least(1))
    learning_rate: Scalar = hyper("[0, inf)")

    def init(self, params: Params) -> UncertaintyWeightingState:
        del params
        return UncertaintyWeightingState(jnp.zeros(self.objectives))

    def weigh(self, gram: jax.Array, state: Any, **extra: Any) -> tuple[jax.Array, Any]:
        self.check_count(self.objectives, len(gram))
        losses = jnp.ravel(extra["losses"]).astype(gram.dtype)
        s = state.log_variances.astype(gram.dtype)
        weights = jnp.exp(-s) / 2
        s = s - jnp.asarray(self.learning_rate, s.dtype) * (0.5 - weights * losses)
        return weights, UncertaintyWeightingState(s.astype(state.log_variances.dtype))


@core.builds(UncertaintyWeighting)
def uncertainty_weighting(objectives: int, learning_rate: Scalar = 1e-2):
    r"""Uncertainty weighting divides each loss by a variance that is learned with the model.

    $$\mathcal L = \sum_i \tfrac12 e^{-s_i} L_i + \tfrac12 s_i,\quad
    u = \sum_i \tfrac12 e^{-s_i} g_i,\quad
    s_i \leftarrow s_i - \eta\, \tfrac12 \big(1 - e^{-s_i} L_i\big)$$

    so that the variance $e^{s_i}$ follows the loss, and a loss that stays high counts less.
    Gradients come in with a leading axis of objectives on every array, as `jax.jacrev` gives
    them, and go out without it; the losses come as the extra argument `losses` of `update`.

    Args:
      objectives: how many there are; sets the shape of the state.
      learning_rate: η, in [0, inf), of the descent on s.

    Returns:
      The transformation, to be the first link of a chain. State: one number for each
      objective.

    Raises:
      TypeError: `update` without `losses`.
      ValueError: gradients without the leading axis, or of another number of objectives; a
        number outside its range.

    Properties:
      For given variances: linear under scaling, permutation invariant, strongly stationary.
      Not non-conflicting: [[1, 0], [-2, 1]]. Not idempotent: [[1, 2]] (one half of it).
      Not mean without conflict: [[1, 0], [0, 1], [1, 1]].

    References:
      Kendall, Gal and Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses for
      Scene Geometry and Semantics", arXiv:1705.07115, Equation 7 and Section 3.2.

    Differs:
      The variances take plain gradient steps, whatever optimizer follows in the chain.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> uncertain = gl.uncertainty_weighting(2, 0.1)
      >>> gradients, losses = jnp.array([[1.0, 0.0], [0.0, 1.0]]), jnp.array([1.0, 3.0])
      >>> state = uncertain.init(jnp.zeros(2))
      >>> update, state = uncertain.update(gradients, state, losses=losses)
      >>> update.tolist(), [round(float(s), 4) for s in state.log_variances]
      ([0.5, 0.5], [0.0, 0.1])
    """


ENTRY = core.Entry(
    uncertainty_weighting,
    formula="u = sum_i exp(-s_i) g_i / 2, s_i -= lr (1 - exp(-s_i) L_i) / 2",
    paper=("kendall2017multi",),
    example={"objectives": 3, "learning_rate": 0.01},
    search_space={"learning_rate": (1e-4, 1.0, "log")},
    needs=("stacked", "losses"),
    traits=core.Traits(
        temporaries="gradients are combined by a matrix product, whose result is stored",
    ),
)
