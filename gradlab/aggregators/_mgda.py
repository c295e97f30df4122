"""MGDA: the shortest vector in the convex hull of the gradients."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core, linalg
from gradlab.aggregators import _stacked
from gradlab.aggregators._weighting import SolverState, Weighting, count_unsolved, denied
from gradlab.core import Params


class Mgda(Weighting):
    """The convex combination of the gradients that is shortest."""

    holds = ("non-conflicting", "permutation invariant", "idempotent")
    fails = denied(
        {
            "linear under scaling": ((1, 0), (0, 1)),
            "strongly stationary": ((1, 0), (0, 0)),
            "mean without conflict": ((2, 0), (0, 1)),
        }
    )

    def init(self, params: Params) -> SolverState:
        del params
        return SolverState.new()

    def weigh(self, gram: jax.Array, state: Any, **extra: Any) -> tuple[jax.Array, Any]:
        del extra
        weights, residual = shortest(gram)
        return weights, SolverState(count_unsolved(state.unsolved, residual))


def shortest(gram: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Weights, of sum one, of the shortest convex combination, and how far they are from it."""
    lengths, cosines = _stacked.cone(gram)
    still = lengths == 0
    least = jnp.min(jnp.where(still, jnp.inf, lengths), initial=jnp.inf)
    # In units of the gradients' lengths the weights y of unit gradients obey r'y = 1, and
    # this constraint may enter as a square, since what is minimised is homogeneous.
    r = jnp.where(still, 0, core.divide(jnp.where(jnp.isfinite(least), least, 0), lengths))
    matrix = cosines + r * r[:, None]
    y = linalg.nonnegative_qp(matrix, -r)
    moving = core.divide(r * y, r @ y)
    # A gradient that is zero is itself the shortest.
    dead = still / jnp.maximum(jnp.sum(still), 1)
    weights = jnp.where(jnp.any(still), dead.astype(gram.dtype), moving)
    return weights, linalg.qp_residual(matrix, -r, y)


@core.builds(Mgda)
def mgda():
    r"""MGDA follows the shortest vector in the convex hull of the gradients.

    $$u = \sum_i w_i g_i,\quad w = \operatorname*{argmin}_{w \ge 0,\ \sum_i w_i = 1}
    \Big\lVert \sum_i w_i g_i \Big\rVert^2$$

    Every objective for which there is room improves at the same rate; the result is zero
    where no direction improves all. Gradients come in with a leading axis of objectives on
    every array, as `jax.jacrev` gives them, and go out without it. Inner products are taken
    over all arrays together.

    Args:
      There are none.

    Returns:
      The transformation, to be the first link of a chain. State: a count of the steps whose
      program was not solved to 1e-4 (1e-9 in float64).

    Raises:
      ValueError: gradients without the leading axis, such as a sum.

    Properties:
      Non-conflicting, permutation invariant, idempotent. Not linear under scaling:
      [[1, 0], [0, 1]]. Not strongly stationary: [[1, 0], [0, 0]].
      Not mean without conflict: [[2, 0], [0, 1]].

    References:
      Désidéri, "Multiple-gradient descent algorithm (MGDA) for multiobjective optimization",
      Comptes Rendus Mathématique 350 (2012); Sener and Koltun, "Multi-Task Learning as
      Multi-Objective Optimization", arXiv:1810.04650, Equation 3.

    Differs:
      The program is solved by pivoting on unit gradients, exactly for the weights that are
      not zero, instead of by Frank and Wolfe's iterations (Algorithm 2 of Sener and Koltun),
      which stop far from the minimum.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> descent = gl.mgda()
      >>> gradients = jnp.array([[2.0, 0.0], [0.0, 1.0]])
      >>> update, _ = descent.update(gradients, descent.init(jnp.zeros(2)))
      >>> [round(float(x), 4) for x in update]
      [0.4, 0.8]
    """


ENTRY = core.Entry(
    mgda,
    formula="u = sum_i w_i g_i, w = argmin over the simplex of |sum_i w_i g_i|^2",
    paper=("desideri2012multiple", "sener2018multi"),
    example={},
    needs=("stacked",),
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="A gradient enters or leaves the combination; at that point the derivative is "
        "that of one side.",
    ),
)
