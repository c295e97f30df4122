"""The mean without the extremes, coordinate by coordinate."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from gradlab import core
from gradlab.aggregators import _stacked
from gradlab.aggregators._weighting import Aggregator, denied
from gradlab.core import Updates, static


class TrimmedMean(Aggregator):
    """Averages what lies between the extremes of each coordinate."""

    holds = ("permutation invariant",)
    fails = denied(
        {
            "non-conflicting": ((1, 0), (1, 0), (-9, 1)),
            "linear under scaling": ((1, 0), (2, 0), (3, 0)),
            "strongly stationary": ((1, 0), (0, 0), (0, 0)),
            "idempotent": ((1, 2),),
            "mean without conflict": ((1, 0), (2, 0), (9, 0)),
        }
    )

    trim_number: int = static(convert=core.count_at_least(0))

    def aggregate(
        self, updates: Updates, state: Any, count: int, **extra: Any
    ) -> tuple[Updates, Any]:
        del extra
        return _stacked.between(self.owner(), updates, count, self.trim_number, jnp.mean), state


@core.builds(TrimmedMean)
def trimmed_mean(trim_number: int = 1):
    r"""The trimmed mean leaves out the largest and smallest numbers of each coordinate.

    $$u = \frac{1}{m - 2b} \sum_{i = b + 1}^{m - b} g_{(i)}$$

    where the numbers of each coordinate are sorted. Up to b gradients may be anything, sent by
    workers that fail or lie. Gradients come in with a leading axis of objectives (workers) on
    every array, and go out without it.

    Args:
      trim_number: the number b that is left out at each end; 0 is the mean.

    Returns:
      The transformation, to be the first link of a chain. No state.

    Raises:
      TypeError: complex gradients, which have no order.
      ValueError: gradients without the leading axis; fewer than `2 * trim_number + 1`.

    Properties:
      Permutation invariant. Not non-conflicting: [[1, 0], [1, 0], [-9, 1]].
      Not linear under scaling: [[1, 0], [2, 0], [3, 0]].
      Not strongly stationary: [[1, 0], [0, 0], [0, 0]]. Not idempotent: [[1, 2]] (too few).
      Not mean without conflict: [[1, 0], [2, 0], [9, 0]].

    References:
      Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates",
      arXiv:1803.01498, Definition 2.

    Differs:
      The paper trims a fraction β of the gradients; here their number is given.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> trimmed = gl.trimmed_mean()
      >>> gradients = jnp.array([[1.0, 5.0], [2.0, 6.0], [99.0, -7.0]])
      >>> trimmed.update(gradients, trimmed.init(jnp.zeros(2)))[0].tolist()
      [2.0, 5.0]
    """


ENTRY = core.Entry(
    trimmed_mean,
    formula="u = mean of the sorted g_i, without the first b and the last b",
    paper=("yin2018byzantine",),
    example={},
    needs=("stacked",),
    traits=core.Traits(
        smooth=False,
        kinks="Two numbers change places in the order; the derivative is that of one side.",
        complex=False,
        temporaries="the sorted numbers of all objectives",
    ),
)
