"""The mean of the gradients."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.aggregators._weighting import PROPERTIES, Weighting, denied


class MeanGradient(Weighting):
    """Averages the gradients."""

    holds = tuple(name for name in PROPERTIES if name != "non-conflicting")
    fails = denied({"non-conflicting": ((1, 0), (-2, 1))})

    def weigh(self, gram: jax.Array, state: Any, **extra: Any) -> tuple[jax.Array, Any]:
        del extra
        return jnp.full(len(gram), 1 / len(gram), gram.dtype), state


@core.builds(MeanGradient)
def mean_gradient():
    r"""The mean of the gradients is what training on the average of the losses follows.

    $$u = \frac1m \sum_i g_i$$

    Gradients come in with a leading axis of objectives on every array, as `jax.jacrev` gives
    them, and go out without it.

    Args:
      There are none.

    Returns:
      The transformation, to be the first link of a chain. No state.

    Raises:
      ValueError: gradients without the leading axis, such as a sum.

    Properties:
      Linear under scaling, permutation invariant, strongly stationary, idempotent, mean
      without conflict. Not non-conflicting: [[1, 0], [-2, 1]].

    References:
      Quinton and Rey, "Jacobian Descent For Multi-Objective Optimization",
      arXiv:2406.16232v3, where it is the baseline of all aggregators.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> mean = gl.mean_gradient()
      >>> gradients = jnp.array([[1.0, 0.0], [-2.0, 1.0]])
      >>> mean.update(gradients, mean.init(jnp.zeros(2)))[0].tolist()
      [-0.5, 0.5]
    """


ENTRY = core.Entry(
    mean_gradient,
    formula="u = mean_i g_i",
    paper=("M066",),
    example={},
    needs=("stacked",),
    traits=core.Traits(
        temporaries="gradients are combined by a matrix product, whose result is stored",
    ),
)
