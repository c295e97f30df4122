"""CAGrad: the best worst improvement near the mean of the gradients."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core, linalg
from gradlab.aggregators import _stacked
from gradlab.aggregators._weighting import SolverState, Weighting, count_unsolved, denied, threshold
from gradlab.core import Params, Scalar, hyper, static


class Cagrad(Weighting):
    """Improves the worst objective most, within a ball around the mean."""

    holds = ("permutation invariant",)
    fails = denied(
        {
            "non-conflicting": ((1, 0), (-4, 1)),
            "linear under scaling": ((1, 0), (0, 1)),
            "strongly stationary": ((1, 0), (0, 1), (-1, 0)),
            "idempotent": ((1, 2),),
            "mean without conflict": ((1, 0), (0, 1)),
        }
    )

    c: Scalar = hyper("[0, inf)")
    norm_eps: float = static(convert=threshold)

    def init(self, params: Params) -> SolverState:
        del params
        return SolverState.new()

    def weigh(self, gram: jax.Array, state: Any, **extra: Any) -> tuple[jax.Array, Any]:
        del extra
        lengths, cosines = _stacked.cone(gram)
        moving = lengths > 0
        cosines = jnp.where(moving[:, None] & moving, cosines, 0)
        mean = lengths / len(gram)
        length = core.sqrt(jnp.maximum(mean @ cosines @ mean, 0))  # of the mean gradient
        least = jnp.min(jnp.where(moving, lengths, jnp.inf))
        r = jnp.where(moving, core.divide(jnp.where(jnp.any(moving), least, 0), lengths), 0)
        c = jnp.asarray(self.c, gram.dtype)
        along = core.divide(cosines @ mean, length)
        y, residual, kink = linalg.homogeneous_minimum(cosines, along, c, r)
        short = core.sqrt(jnp.maximum(y @ cosines @ y, 0))
        weights = 1 / len(gram) + core.divide(c * core.divide(length, short) * y, lengths)
        # How long the combination is that was pulled towards, were its weights to sum to one.
        scale = core.divide(short, r @ y) * jnp.where(jnp.any(moving), least, 0)
        stationary = kink | (scale <= self.norm_eps * core.norm(lengths))
        # There the norm has a kink, and nothing is left to be solved for.
        unsolved = count_unsolved(state.unsolved, jnp.where(stationary, 0, residual))
        return jnp.where(stationary, 0, weights), SolverState(unsolved)


@core.builds(Cagrad)
def cagrad(c: Scalar = 0.5, *, norm_eps: float = 1e-4):
    r"""CAGrad improves the worst objective as far as a ball around the mean gradient allows.

    $$u = \operatorname*{argmax}_{\lVert d - g_0 \rVert \le c \lVert g_0 \rVert}\
    \min_i\, \langle g_i, d \rangle = g_0 + \frac{c \lVert g_0 \rVert}{\lVert g_w \rVert} g_w$$

    where $g_0$ is the mean, and the weights w of $g_w = \sum_i w_i g_i$, on the simplex, are
    least in $\langle g_w, g_0 \rangle + c \lVert g_0 \rVert \lVert g_w \rVert$. Gradients come
    in with a leading axis of objectives on every array, as `jax.jacrev` gives them, and go out
    without it. Inner products are taken over all arrays together.

    Args:
      c: radius of the ball in lengths of the mean gradient, in [0, inf): 0 gives the mean,
        1 and more conflict with no objective.
      norm_eps: length of $g_w$, in units of the root of the Gramian's trace, at and below
        which no direction is left and the result is zero; decides a branch and so is no
        hyperparameter.

    Returns:
      The transformation, to be the first link of a chain. State: a count of the steps whose
      program was not solved to 1e-4 (1e-9 in float64).

    Raises:
      ValueError: gradients without the leading axis, such as a sum; a number outside its
        range.

    Properties:
      Permutation invariant; non-conflicting for c of at least 1. For c = 0.5:
      Not non-conflicting: [[1, 0], [-4, 1]]. Not linear under scaling: [[1, 0], [0, 1]].
      Not strongly stationary: [[1, 0], [0, 1], [-1, 0]]. Not idempotent: [[1, 2]].
      Not mean without conflict: [[1, 0], [0, 1]].

    References:
      Liu et al., "Conflict-Averse Gradient Descent for Multi-task Learning",
      arXiv:2110.14048, Algorithm 1.

    Differs:
      As in the paper's algorithm the result is not divided by $1 + c^2$, which the authors'
      code offers. The dual program is solved by an interior-point method and Newton steps on
      unit gradients. Near a point where no direction improves all objectives the paper's rule
      divides by zero; there the result is zero.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> averse = gl.cagrad(0.5)
      >>> gradients = jnp.array([[2.0, 0.0], [0.0, 2.0]])
      >>> update, _ = averse.update(gradients, averse.init(jnp.zeros(2)))
      >>> [round(float(x), 4) for x in update]
      [1.5, 1.5]
    """


ENTRY = core.Entry(
    cagrad,
    formula="u = g_0 + c |g_0| / |g_w| g_w, w = argmin <g_w, g_0> + c |g_0| |g_w|",
    paper=("liu2021conflict",),
    example={"c": 0.5},
    search_space={"c": (0.05, 2.0, "log")},
    needs=("stacked",),
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="A gradient enters or leaves the combination that the mean is pulled towards; at "
        "that point the derivative is that of one side.",
    ),
)
