"""Nash-MTL: the bargaining solution between objectives."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gradlab import core, linalg
from gradlab.aggregators import _stacked
from gradlab.aggregators._weighting import Weighting, count_unsolved, denied
from gradlab.core import Params, Scalar, hyper, static


class NashMtlState(NamedTuple):
    """State of `nash_mtl`.

    Attributes:
      count: steps so far.
      weights: the weights that were agreed upon last; the next bargain begins there.
      unsolved: how many bargains so far were not solved.
    """

    count: jax.Array
    weights: jax.Array
    unsolved: jax.Array


class NashMtl(Weighting):
    """Bargains over the direction of the step."""

    holds = ("non-conflicting", "permutation invariant")
    fails = denied(
        {
            "linear under scaling": ((1, 0), (0, 1)),
            "strongly stationary": ((1, 0), (-1, 0), (0, 1)),
            "idempotent": ((1, 2),),
            "mean without conflict": ((1, 0), (0, 1)),
        }
    )

    objectives: int = static(convert=core.count_at_least(1))
    max_norm: Scalar = hyper("(0, inf)")
    update_weights_every: int = static(convert=core.count_at_least(1))

    def init(self, params: Params) -> NashMtlState:
        del params
        return NashMtlState(core.step_count(), jnp.zeros(self.objectives), core.step_count())

    def weigh(self, gram: jax.Array, state: Any, **extra: Any) -> tuple[jax.Array, Any]:
        del extra
        self.check_count(self.objectives, len(gram))
        old = state.weights.astype(gram.dtype)

        def bargain() -> tuple[jax.Array, jax.Array]:
            lengths, cosines = _stacked.cone(gram)
            ones = jnp.ones_like(lengths)
            last = jnp.where(old * lengths > 0, old * lengths, 1)
            # Of gradients that have changed much since, it says little.
            start = jnp.clip(last, 1e-2, 1e2)
            x = linalg.balance(cosines, ones, 1.0, start)
            residual = linalg.balance_residual(cosines, ones, 1.0, x)
            agreed = residual <= linalg.qp_tolerance(residual.dtype)
            return jnp.where(agreed, core.divide(x, lengths), 0), residual

        weights, residual = (
            bargain()
            if self.update_weights_every == 1
            else lax.cond(
                state.count % self.update_weights_every == 0,
                bargain,
                lambda: (old, jnp.zeros_like(old[0])),
            )
        )
        unsolved = count_unsolved(state.unsolved, residual)
        new = NashMtlState(state.count + 1, weights.astype(state.weights.dtype), unsolved)
        norm = core.sqrt(jnp.maximum(weights @ gram @ weights, 0))
        limit = jnp.asarray(self.max_norm, gram.dtype)
        return weights * jnp.where(norm > limit, core.divide(limit, norm), 1), new


@core.builds(NashMtl)
def nash_mtl(objectives: int, max_norm: Scalar = 1.0, *, update_weights_every: int = 1):
    r"""Nash-MTL steps along the direction that the objectives agree upon in a bargain.

    $$u = \sum_i \alpha_i g_i,\quad J J^\top \alpha = 1 / \alpha,\quad \alpha > 0$$

    which maximises $\sum_i \log \langle g_i, u \rangle$ over directions of one length: the
    relative improvement of all objectives together, whatever their scales. Gradients come in
    with a leading axis of objectives on every array, as `jax.jacrev` gives them, and go out
    without it. Inner products are taken over all arrays together.

    Args:
      objectives: how many there are; sets the shape of the state.
      max_norm: the result is shortened to this norm [gradient units], in (0, inf).
      update_weights_every: steps between two bargains; the weights are kept between them.

    Returns:
      The transformation, to be the first link of a chain. State: the weights, a count of
      steps, and a count of the bargains that had no solution to 1e-4 (1e-9 in float64).

    Raises:
      ValueError: gradients without the leading axis, or of another number of objectives; a
        number outside its range.

    Properties:
      Non-conflicting, permutation invariant. Not linear under scaling: [[1, 0], [0, 1]].
      Not strongly stationary: [[1, 0], [-1, 0], [0, 1]].
      Not idempotent: [[1, 2]]. Not mean without conflict: [[1, 0], [0, 1]].

    References:
      Navon et al., "Multi-Task Learning as a Bargaining Game", arXiv:2202.01017,
      Algorithm 1 and Equation 2.

    Differs:
      The system is solved by Newton's method on unit gradients, to the precision of the
      dtype, instead of by a sequence of convex programs that the authors stop at 1e-3; their
      code divides the Gramian by its norm first, which matters only where `max_norm` is not
      reached. A gradient that is zero takes no part in the bargain. Where no direction improves
      all others there is no bargain, and the result is zero.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> bargain = gl.nash_mtl(2)
      >>> gradients = jnp.array([[4.0, 0.0], [0.0, 1.0]])
      >>> update, _ = bargain.update(gradients, bargain.init(jnp.zeros(2)))
      >>> [round(float(x), 4) for x in update]
      [0.7071, 0.7071]
    """


ENTRY = core.Entry(
    nash_mtl,
    formula="u = sum_i a_i g_i, J J' a = 1 / a",
    paper=("navon2022multi",),
    example={"objectives": 3},
    search_space={"max_norm": (0.1, 10.0, "log")},
    needs=("stacked",),
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="The result is shortened from the norm max_norm on.",
    ),
)
