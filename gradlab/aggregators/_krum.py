"""Krum: the gradients that lie closest to their neighbours."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradlab import core, linalg
from gradlab.aggregators._weighting import Weighting, denied
from gradlab.core import static


class Krum(Weighting):
    """Averages the gradients that lie closest to others."""

    holds = ()
    fails = denied(
        {
            "non-conflicting": ((1, 0), (1, 0), (-9, 1)),
            "linear under scaling": ((1, 0), (1, 1), (0, 1)),
            "permutation invariant": ((1, 0), (0, 1), (-1, 0)),
            "strongly stationary": ((0, 0), (0, 0), (1, 0)),
            "idempotent": ((1, 2),),
            "mean without conflict": ((1, 0), (1, 0), (0, 3)),
        }
    )

    n_byzantine: int = static(convert=core.count_at_least(0))
    n_selected: int = static(convert=core.count_at_least(1))
    squared: bool = static(convert=core.flag)

    def weigh(self, gram: jax.Array, state: Any, **extra: Any) -> tuple[jax.Array, Any]:
        del extra
        least = max(self.n_byzantine + 3, self.n_selected)
        if len(gram) < least:
            raise ValueError(
                f"krum: n_byzantine={self.n_byzantine} and n_selected={self.n_selected} need at "
                f"least {least} objectives, but there are {len(gram)}"
            )
        gram = lax.stop_gradient(gram)
        squares = jnp.diagonal(gram)
        distances = jnp.maximum(squares + squares[:, None] - 2 * gram, 0)
        distances = distances if self.squared else jnp.sqrt(distances)
        others = jnp.where(jnp.eye(len(gram), dtype=bool), 0, distances)
        nearest = jnp.sort(others, axis=1)[:, 1 : len(gram) - self.n_byzantine - 1]
        selected = linalg.largest(-jnp.sum(nearest, axis=1), self.n_selected)
        return selected.astype(gram.dtype) / self.n_selected, state


@core.builds(Krum)
def krum(n_byzantine: int = 0, *, n_selected: int = 1, squared: bool = True):
    r"""Krum averages those gradients that lie closest to their nearest neighbours.

    $$u = \frac1s \sum_{i \in S} g_i,\quad
    S = \text{the } s \text{ least of } \sum_{j \text{ near } i} \lVert g_i - g_j \rVert^2$$

    where the sum is over the $m - f - 2$ nearest of the m gradients. Up to f gradients may be
    anything, sent by workers that fail or lie. Gradients come in with a leading axis of
    objectives (workers) on every array, and go out without it. Distances are over all arrays
    together.

    Args:
      n_byzantine: the number f of gradients that may be wrong.
      n_selected: the number s of gradients that are averaged; above 1 this is Multi-Krum.
      squared: whether squares of distances are summed, as in the paper, or distances, as in
        torchjd.

    Returns:
      The transformation, to be the first link of a chain. No state.

    Raises:
      ValueError: gradients without the leading axis; fewer objectives than `n_byzantine + 3`
        or `n_selected`; a number outside its range.

    Properties:
      None of them, since one gradient is chosen. Not non-conflicting:
      [[1, 0], [1, 0], [-9, 1]]. Not linear under scaling: [[1, 0], [1, 1], [0, 1]].
      Not permutation invariant: [[1, 0], [0, 1], [-1, 0]] (scores are equal).
      Not strongly stationary: [[0, 0], [0, 0], [1, 0]]. Not idempotent: [[1, 2]] (too few).
      Not mean without conflict: [[1, 0], [1, 0], [0, 3]].

    References:
      Blanchard et al., "Machine Learning with Adversaries: Byzantine Tolerant Gradient
      Descent", NeurIPS 2017, Section 4.

    Differs:
      Of equal scores the first is chosen. The choice has no derivative.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> robust = gl.krum(1)
      >>> gradients = jnp.array([[1.0, 0.0], [1.1, 0.0], [0.9, 0.0], [-99.0, 5.0]])
      >>> robust.update(gradients, robust.init(jnp.zeros(2)))[0].tolist()
      [1.0, 0.0]
    """


ENTRY = core.Entry(
    krum,
    formula="u = mean of the s gradients with the least sum of squared distances to their nearest",
    paper=("blanchard2017machine",),
    example={},
    needs=("stacked",),
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="Another gradient is chosen; the update jumps, and the choice is held fixed in "
        "the derivative.",
    ),
)
