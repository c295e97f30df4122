"""The geometric median of the gradients."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradlab import core
from gradlab.aggregators._weighting import Weighting, denied
from gradlab.core import Scalar, hyper, static


class GeometricMedian(Weighting):
    """The point that is closest to all gradients together."""

    holds = ("permutation invariant", "strongly stationary", "idempotent")
    fails = denied(
        {
            "non-conflicting": ((1, 0), (1, 0), (-9, 1)),
            "linear under scaling": ((1, 0), (2, 0), (9, 0)),
            "mean without conflict": ((1, 0), (2, 0), (9, 0)),
        }
    )

    eps: Scalar = hyper("(0, inf)")
    iterations: int = static(convert=core.count_at_least(1))

    def weigh(self, gram: jax.Array, state: Any, **extra: Any) -> tuple[jax.Array, Any]:
        del extra
        squares = jnp.diagonal(gram)
        size = jnp.mean(squares)
        gram, squares = core.divide(gram, size), core.divide(squares, size)
        eps = jnp.asarray(self.eps, gram.dtype)

        def closer(weights: jax.Array, _: None) -> tuple[jax.Array, None]:
            product = gram @ weights
            distances = core.sqrt(jnp.maximum(squares - 2 * product + weights @ product, 0))
            inverse = 1 / jnp.maximum(distances, eps)
            return inverse / jnp.sum(inverse), None

        start = jnp.full(len(gram), 1 / len(gram), gram.dtype)
        weights, _ = lax.scan(closer, start, None, length=self.iterations)
        return weights, state


@core.builds(GeometricMedian)
def geometric_median(eps: Scalar = 1e-6, *, iterations: int = 32):
    r"""The geometric median has the least sum of distances to all gradients.

    $$u = \operatorname*{argmin}_z \sum_i \lVert g_i - z \rVert$$

    found by Weiszfeld's iterations $u \leftarrow \sum_i \beta_i g_i / \sum_i \beta_i$ with
    $\beta_i = 1 / \max(\nu, \lVert g_i - u \rVert)$. Nearly half of the gradients may be
    anything, sent by workers that fail or lie. Gradients come in with a leading axis of
    objectives (workers) on every array, and go out without it. Distances are over all arrays
    together.

    Args:
      eps: the distance ν below which a gradient counts no more, in (0, inf), in units of the
        root mean square of the gradients' lengths.
      iterations: of Weiszfeld's method.

    Returns:
      The transformation, to be the first link of a chain. No state.

    Raises:
      ValueError: gradients without the leading axis, such as a sum; a number outside its
        range.

    Properties:
      Permutation invariant, strongly stationary, idempotent.
      Not non-conflicting: [[1, 0], [1, 0], [-9, 1]].
      Not linear under scaling: [[1, 0], [2, 0], [9, 0]].
      Not mean without conflict: [[1, 0], [2, 0], [9, 0]].

    References:
      Pillutla, Kakade and Harchaoui, "Robust Aggregation for Federated Learning",
      arXiv:1912.13445, Algorithm 2 (the smoothed Weiszfeld algorithm).

    Differs:
      Distances are found from inner products, so that they are exact up to the root of the
      precision. The number of iterations is fixed.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> median = gl.geometric_median()
      >>> gradients = jnp.array([[1.0, 0.0], [1.0, 0.1], [1.0, -0.1], [-99.0, 5.0]])
      >>> update, _ = median.update(gradients, median.init(jnp.zeros(2)))
      >>> [round(float(x), 2) for x in update]
      [1.0, 0.0]
    """


ENTRY = core.Entry(
    geometric_median,
    formula="u = argmin_z sum_i |g_i - z|",
    paper=("pillutla2019robust",),
    example={"eps": 0.3, "iterations": 8},
    search_space={"eps": (1e-6, 1.0, "log")},
    needs=("stacked",),
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="A gradient comes closer than eps; there the derivative is that of one side.",
    ),
)
