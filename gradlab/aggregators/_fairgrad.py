"""FairGrad: the alpha-fair allocation of progress to objectives."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core, linalg
from gradlab.aggregators import _stacked
from gradlab.aggregators._weighting import SolverState, Weighting, count_unsolved, denied
from gradlab.core import Params, Scalar, hyper


class Fairgrad(Weighting):
    """Allocates progress to objectives by alpha-fairness."""

    holds = ("non-conflicting", "permutation invariant")
    fails = denied(
        {
            "linear under scaling": ((1, 0), (0, 1)),
            "strongly stationary": ((1, 0), (-1, 0), (0, 1)),
            "idempotent": ((1, 2),),
            "mean without conflict": ((1, 0), (0, 1)),
        }
    )

    alpha: Scalar = hyper("(0, inf)")

    def init(self, params: Params) -> SolverState:
        del params
        return SolverState.new()

    def weigh(self, gram: jax.Array, state: Any, **extra: Any) -> tuple[jax.Array, Any]:
        del extra
        power = 1 / jnp.asarray(self.alpha, gram.dtype)
        lengths, cosines = _stacked.cone(gram)
        moving = lengths > 0
        # By unit gradients: C x = l**(p - 1) x**(-p), with the largest right side as one.
        logs = (power - 1) * jnp.log(jnp.where(moving, lengths, 1))
        top = jnp.max(jnp.where(moving, logs, -jnp.inf))
        top = jax.lax.stop_gradient(jnp.where(jnp.isfinite(top), top, 0))
        target = jnp.where(moving, jnp.exp(logs - top), 1)
        start = target ** (1 / (1 + power))
        x = linalg.balance(cosines, target, power, start)
        weights = core.divide(x * jnp.exp(top / (1 + power)), lengths)
        residual = linalg.balance_residual(cosines, target, power, x)
        solved = residual <= linalg.qp_tolerance(residual.dtype)
        return jnp.where(solved, weights, 0), SolverState(count_unsolved(state.unsolved, residual))


@core.builds(Fairgrad)
def fairgrad(alpha: Scalar = 2.0):
    r"""FairGrad steps along the direction whose progress is shared out by alpha-fairness.

    $$u = \sum_i w_i g_i,\quad J J^\top w = w^{-1 / \alpha},\quad w > 0$$

    which maximises $\sum_i \langle g_i, u \rangle^{1 - \alpha} / (1 - \alpha)$ over directions
    of one length. At 1 it is the bargain of `nash_mtl`; above, objectives that progress least
    count more. Gradients come in with a leading axis of objectives on every array, as
    `jax.jacrev` gives them, and go out without it. Inner products are taken over all arrays
    together.

    Args:
      alpha: how much fairness counts, in (0, inf). Near 0 it tends to a sum of gradients.

    Returns:
      The transformation, to be the first link of a chain. State: a count of the steps whose
      system had no solution to 1e-4 (1e-9 in float64).

    Raises:
      ValueError: gradients without the leading axis, such as a sum; a number outside its
        range.

    Properties:
      Non-conflicting, permutation invariant. Not linear under scaling: [[1, 0], [0, 1]].
      Not strongly stationary: [[1, 0], [-1, 0], [0, 1]]. Not idempotent: [[1, 2]].
      Not mean without conflict: [[1, 0], [0, 1]].

    References:
      Ban and Ji, "Fair Resource Allocation in Multi-Task Learning", arXiv:2402.15638,
      Algorithm 1 and Equation 4.

    Differs:
      The system is solved by Newton's method on unit gradients, to the precision of the
      dtype, where the authors call a least-squares routine. A gradient that is zero takes no
      part. Where no direction improves all others there is no solution, and the result is
      zero. With 32 and more gradients whose lengths differ by 24 orders of magnitude, Newton's
      method may end at its cap; the result is zero then, too, and the step is counted. α = 0,
      the plain sum, is `sum_gradient`.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> fair = gl.fairgrad(1.0)
      >>> gradients = jnp.array([[4.0, 0.0], [0.0, 1.0]])
      >>> update, _ = fair.update(gradients, fair.init(jnp.zeros(2)))
      >>> [round(float(x), 4) for x in update]
      [1.0, 1.0]
    """


ENTRY = core.Entry(
    fairgrad,
    formula="u = sum_i w_i g_i, J J' w = w^(-1 / alpha)",
    paper=("ban2024fair",),
    example={"alpha": 2.0},
    search_space={"alpha": (0.5, 10.0, "log")},
    needs=("stacked",),
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="Towards gradients of zero the result does not tend to zero, and where no direction "
        "improves all objectives any longer it jumps there; the derivative is then zero.",
    ),
)
