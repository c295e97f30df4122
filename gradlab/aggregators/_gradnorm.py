"""GradNorm: weights that bring gradients to lengths set by the pace of learning."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.aggregators._weighting import Weighting, denied
from gradlab.core import Params, Scalar, hyper, static


class GradnormState(NamedTuple):
    """State of `gradnorm`.

    Attributes:
      count: steps so far.
      weights: of the objectives; they sum to their number.
      start: losses at the first step.
    """

    count: jax.Array
    weights: jax.Array
    start: jax.Array


class Gradnorm(Weighting):
    """Balances the lengths of weighted gradients."""

    needs = ("losses",)
    holds = (
        "linear under scaling",
        "permutation invariant",
        "strongly stationary",
        "idempotent",
    )
    fails = denied(
        {
            "non-conflicting": ((1, 0), (-2, 1)),
            "mean without conflict": ((1, 0), (0, 1)),
        }
    )

    objectives: int = static(convert=core.count_at_least(1))
    learning_rate: Scalar = hyper("[0, inf)")
    alpha: Scalar = hyper("[0, inf)")

    def init(self, params: Params) -> GradnormState:
        del params
        ones = jnp.ones(self.objectives)
        return GradnormState(core.step_count(), ones, jnp.array(ones))

    def weigh(self, gram: jax.Array, state: Any, **extra: Any) -> tuple[jax.Array, Any]:
        self.check_count(self.objectives, len(gram))
        losses = jnp.ravel(extra["losses"]).astype(gram.dtype)
        start = jnp.where(state.count == 0, losses, state.start.astype(gram.dtype))
        learning_rate, alpha = (
            jnp.asarray(x, gram.dtype) for x in (self.learning_rate, self.alpha)
        )
        weights = state.weights.astype(gram.dtype)
        lengths = core.sqrt(jnp.diagonal(gram))
        pace = core.divide(losses, start)  # how little each loss has fallen
        pace = core.divide(pace, jnp.mean(pace))
        target = jnp.mean(weights * lengths) * jnp.maximum(pace, 1e-8) ** alpha
        slope = jnp.sign(weights * lengths - target) * lengths
        moved = jnp.maximum(weights - learning_rate * slope, 0)
        moved = core.divide(moved * len(gram), jnp.sum(moved))
        kept = moved.astype(state.weights.dtype), start.astype(state.start.dtype)
        return weights, GradnormState(state.count + 1, *kept)


@core.builds(Gradnorm)
def gradnorm(objectives: int, learning_rate: Scalar = 2.5e-2, alpha: Scalar = 1.5):
    r"""GradNorm weighs objectives so that all of them learn at a similar pace.

    $$u = \sum_i w_i g_i,\quad
    w_i \leftarrow w_i - \eta\, \operatorname{sign}\big(w_i \lVert g_i \rVert - \bar G
    r_i^\alpha\big)\, \lVert g_i \rVert,\quad \sum_i w_i = m$$

    where $\bar G$ is the mean of $w_i \lVert g_i \rVert$, and $r_i$ the loss over its value at
    the first step, divided by the mean of these. Gradients come in with a leading axis of
    objectives on every array, as `jax.jacrev` gives them, and go out without it; the losses
    come as the extra argument `losses` of `update`. Norms are over all arrays together.

    Args:
      objectives: how many there are; sets the shape of the state.
      learning_rate: η of the weights, in [0, inf).
      alpha: how strongly a slow objective is pulled along, in [0, inf).

    Returns:
      The transformation, to be the first link of a chain. State: two numbers for each
      objective and a count.

    Raises:
      TypeError: `update` without `losses`.
      ValueError: gradients without the leading axis, or of another number of objectives; a
        number outside its range.

    Properties:
      For given weights: linear under scaling, permutation invariant, strongly stationary,
      idempotent. Not non-conflicting: [[1, 0], [-2, 1]].
      Not mean without conflict: [[1, 0], [0, 1]] (it is the sum at first).

    References:
      Chen et al., "GradNorm: Gradient Normalization for Adaptive Loss Balancing in Deep
      Multitask Networks", arXiv:1711.02257, Algorithm 1.

    Differs:
      The weights take plain gradient steps and are kept from becoming negative. The paper
      takes norms over the last shared layer; here they are over all arrays that come in. The
      derivative takes the sign as constant.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> norm = gl.gradnorm(2, 0.1)
      >>> gradients, losses = jnp.array([[3.0, 0.0], [0.0, 1.0]]), jnp.array([1.0, 1.0])
      >>> state = norm.init(jnp.zeros(2))
      >>> update, state = norm.update(gradients, state, losses=losses)
      >>> update.tolist(), [round(float(w), 4) for w in state.weights]
      ([3.0, 1.0], [0.7778, 1.2222])
    """


ENTRY = core.Entry(
    gradnorm,
    formula="u = sum_i w_i g_i, w_i -= lr sign(w_i |g_i| - mean r_i^a) |g_i|",
    paper=("chen2017gradnorm",),
    example={"objectives": 3},
    search_space={"learning_rate": (1e-4, 0.1, "log"), "alpha": (0.1, 3.0, "linear")},
    needs=("stacked", "losses"),
    traits=core.Traits(
        temporaries="gradients are combined by a matrix product, whose result is stored",
    ),
)
