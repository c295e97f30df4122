"""The median of each coordinate."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from gradlab import core
from gradlab.aggregators import _stacked
from gradlab.aggregators._weighting import Aggregator, denied
from gradlab.core import Updates


class CoordinateMedian(Aggregator):
    """Takes the median of each coordinate."""

    holds = ("permutation invariant", "idempotent")
    fails = denied(
        {
            "non-conflicting": ((1, 0), (1, 0), (-9, 1)),
            "linear under scaling": ((1, 0), (2, 0), (3, 0)),
            "strongly stationary": ((1, 0), (0, 0), (0, 0)),
            "mean without conflict": ((1, 0), (2, 0), (9, 0)),
        }
    )

    def aggregate(
        self, updates: Updates, state: Any, count: int, **extra: Any
    ) -> tuple[Updates, Any]:
        del extra
        return _stacked.between(self.owner(), updates, count, (count - 1) // 2, jnp.mean), state


@core.builds(CoordinateMedian)
def coordinate_median():
    r"""The coordinate-wise median follows what at least half of the gradients agree upon.

    $$u_k = \operatorname{median}_i\, g_{ik}$$

    With three gradients, each the mean over a third of a batch, it is the median of three by
    which memorisation of single examples is suppressed. Gradients come in with a leading axis
    of objectives (workers, parts of a batch) on every array, and go out without it.

    Args:
      There are none.

    Returns:
      The transformation, to be the first link of a chain. No state.

    Raises:
      TypeError: complex gradients, which have no order.
      ValueError: gradients without the leading axis, such as a sum.

    Properties:
      Permutation invariant, idempotent. Not non-conflicting: [[1, 0], [1, 0], [-9, 1]].
      Not linear under scaling: [[1, 0], [2, 0], [3, 0]].
      Not strongly stationary: [[1, 0], [0, 0], [0, 0]].
      Not mean without conflict: [[1, 0], [2, 0], [9, 0]].

    References:
      Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates",
      arXiv:1803.01498, Definition 1; Chatterjee and Zielinski, "On the Generalization Mystery
      in Deep Learning", arXiv:2203.10036, for three gradients.

    Differs:
      Of an even number of gradients the two in the middle are averaged.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> median = gl.coordinate_median()
      >>> gradients = jnp.array([[1.0, 5.0], [2.0, 6.0], [99.0, -7.0]])
      >>> median.update(gradients, median.init(jnp.zeros(2)))[0].tolist()
      [2.0, 5.0]
    """


ENTRY = core.Entry(
    coordinate_median,
    formula="u = median_i g_i, for each coordinate",
    paper=("yin2018byzantine", "M022"),
    example={},
    needs=("stacked",),
    traits=core.Traits(
        smooth=False,
        kinks="Two numbers change places in the order; the derivative is that of one side.",
        complex=False,
        temporaries="the sorted numbers of all objectives",
    ),
)
