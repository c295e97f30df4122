"""The mean with the extremes moved in, coordinate by coordinate."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.aggregators import _stacked
from gradlab.aggregators._weighting import Aggregator, denied
from gradlab.core import Updates, static


class WinsorizedMean(Aggregator):
    """Averages after moving the extremes of each coordinate to their next neighbours."""

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
        trim = self.trim_number

        def winsorized(middle: jax.Array, axis: int) -> jax.Array:
            ends = middle[0] + middle[-1]
            return (jnp.sum(middle, axis) + trim * ends) / count

        return _stacked.between(self.owner(), updates, count, trim, winsorized), state


@core.builds(WinsorizedMean)
def winsorized_mean(trim_number: int = 1):
    r"""The winsorized mean clips each coordinate to what the other gradients say.

    $$u = \frac1m \sum_i \operatorname{clip}(g_i,\ g_{(b + 1)},\ g_{(m - b)})$$

    where the numbers of each coordinate are sorted. With one gradient for each example it
    suppresses what single examples ask for, and with it memorisation. Gradients come in with a
    leading axis of objectives (examples) on every array, and go out without it.

    Args:
      trim_number: how many numbers b are clipped at each end; 0 is the mean. The paper's
        level of c percent is `c * m / 100`.

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
      Chatterjee and Zielinski, "On the Generalization Mystery in Deep Learning",
      arXiv:2203.10036, on robust averages of per-example gradients.

    Differs:
      The number of clipped gradients is given in place of a percentile, so that no number
      between two gradients has to be made up.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> winsorized = gl.winsorized_mean()
      >>> gradients = jnp.array([[1.0, 5.0], [2.0, 6.0], [3.0, 4.0], [98.0, -7.0]])
      >>> winsorized.update(gradients, winsorized.init(jnp.zeros(2)))[0].tolist()
      [2.5, 4.5]
    """


ENTRY = core.Entry(
    winsorized_mean,
    formula="u = mean_i clip(g_i, g_(b+1), g_(m-b))",
    paper=("M022",),
    example={},
    needs=("stacked",),
    traits=core.Traits(
        smooth=False,
        kinks="Two numbers change places in the order; the derivative is that of one side.",
        complex=False,
        temporaries="the sorted numbers of all objectives",
    ),
)
