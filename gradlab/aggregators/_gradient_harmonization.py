"""Gradient harmonization: conflicts are removed where they are mild, and skipped else."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.aggregators import _stacked
from gradlab.aggregators._pcgrad import projected_weights
from gradlab.aggregators._weighting import Weighting, denied
from gradlab.core import Params, ScalarOrSchedule, hyper


class GradientHarmonizationState(NamedTuple):
    """State of `gradient_harmonization`: a count of steps."""

    count: jax.Array


class GradientHarmonization(Weighting):
    """Projects conflicting gradients off each other, unless they conflict too much."""

    holds = ("linear under scaling", "idempotent")
    fails = denied(
        {
            "non-conflicting": ((0, 1, 1), (-3, -1, -1), (3, -4, 2)),
            "permutation invariant": ((0, 1, 1), (-3, -1, -1), (3, -4, 2)),
            "strongly stationary": ((1, 0), (-1, 0), (0, 1)),
            "mean without conflict": ((1, 0), (0, 1)),
        }
    )

    threshold: ScalarOrSchedule = hyper("[-1, 1]")

    def init(self, params: Params) -> GradientHarmonizationState:
        del params
        return GradientHarmonizationState(core.step_count())

    def weigh(self, gram: jax.Array, state: Any, **extra: Any) -> tuple[jax.Array, Any]:
        del extra
        limit = jnp.asarray(core.at(self.threshold, state.count), gram.dtype)
        order = jnp.broadcast_to(jnp.arange(len(gram)), gram.shape)
        weights = projected_weights(gram, order)
        noisy = jnp.min(_stacked.cone(gram).cosines) < limit
        kept = jnp.where(noisy, 0, weights)
        return kept, GradientHarmonizationState(state.count + 1)

    def schedule_counts(self, state: Any) -> dict[str, Any]:
        return {"threshold": state.count}


@core.builds(GradientHarmonization)
def gradient_harmonization(threshold: ScalarOrSchedule = -0.5):
    r"""Gradient harmonization realigns conflicting gradients and skips what conflicts too much.

    $$u = \begin{cases} 0 & \text{if } \min_{i,j} \cos(g_i, g_j) < \gamma \\
    \sum_i p_i & \text{otherwise} \end{cases},\qquad
    p_i \leftarrow p_i - \frac{\min(0, \langle p_i, g_j \rangle)}{\lVert g_j \rVert^2}\, g_j$$

    for all j in turn. The objectives are losses of the same examples between different
    modalities: a strong conflict shows that an example is misaligned, and a threshold that
    grows leads from all of them to those that are clean. Gradients come in with a leading axis
    of objectives on every array, as `jax.jacrev` gives them, and go out without it. Inner
    products are taken over all arrays together.

    Args:
      threshold: the cosine γ below which nothing is learned, in [-1, 1], or a schedule of it:
        the curriculum. -1 skips nothing.

    Returns:
      The transformation, to be the first link of a chain. State: a count.

    Raises:
      ValueError: gradients without the leading axis, such as a sum; a number outside its
        range.

    Properties:
      Linear under scaling, idempotent; with two gradients it conflicts with neither.
      Not non-conflicting: [[0, 1, 1], [-3, -1, -1], [3, -4, 2]].
      Not permutation invariant: [[0, 1, 1], [-3, -1, -1], [3, -4, 2]].
      Not strongly stationary: [[1, 0], [-1, 0], [0, 1]].
      Not mean without conflict: [[1, 0], [0, 1]].

    References:
      Wu et al., "Scaling Multimodal Pre-Training via Cross-Modality Gradient Harmonization",
      arXiv:2211.02077v1: cross-modality gradient realignment and gradient-based curriculum
      learning.

    Differs:
      The paper decides for single examples; give it the gradients of one example (or of few
      that belong together) to do the same. More than two gradients meet each other in order.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> harmony = gl.gradient_harmonization(-0.9)
      >>> state = harmony.init(jnp.zeros(2))
      >>> harmony.update(jnp.array([[1.0, 0.0], [-1.0, 1.0]]), state)[0].tolist()
      [0.5, 1.5]
      >>> harmony.update(jnp.array([[1.0, 0.0], [-9.0, 1.0]]), state)[0].tolist()
      [0.0, 0.0]
    """


ENTRY = core.Entry(
    gradient_harmonization,
    formula="u = sum_i p_i (as in PCGrad) if all cosines are at least gamma, else 0",
    paper=("M051",),
    example={"threshold": -0.95},
    search_space={"threshold": (-1.0, 0.0, "linear")},
    needs=("stacked",),
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="A projection sets in where an inner product becomes negative, and the update "
        "jumps to zero at the threshold, by which the derivative is taken as zero.",
    ),
)
