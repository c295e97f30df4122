"""PCD: the first objective's gradient, as far as the others get their share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradlab import core, linalg
from gradlab.aggregators import _stacked
from gradlab.aggregators._weighting import Weighting, count_unsolved, denied
from gradlab.core import Params, Scalar, ScalarOrSchedule, hyper, static


class PcdState(NamedTuple):
    """State of `pcd`.

    Attributes:
      count: steps so far.
      squares: the average of the squared length of each gradient.
      unsolved: how many steps so far had constraints that no direction meets.
    """

    count: jax.Array
    squares: jax.Array
    unsolved: jax.Array


class Pcd(Weighting):
    """Follows the first gradient as closely as shares of the others allow."""

    holds = ("idempotent",)
    fails = denied(
        {
            "non-conflicting": ((1, 0), (-3, 0)),
            "linear under scaling": ((1, 0), (-0.0001, 0.0001)),
            "permutation invariant": ((1, 0), (0, 1)),
            "strongly stationary": ((0, 0), (1, 0)),
            "mean without conflict": ((1, 0), (0, 1)),
        }
    )

    objectives: int = static(convert=core.count_at_least(1))
    tau: Scalar | Sequence[Scalar] = hyper("[0, 1]")
    b2: ScalarOrSchedule = hyper("[0, 1)")
    eps_root: Scalar = hyper("[0, inf)")

    def init(self, params: Params) -> PcdState:
        del params
        return PcdState(core.step_count(), jnp.zeros(self.objectives), core.step_count())

    def weigh(self, gram: jax.Array, state: Any, **extra: Any) -> tuple[jax.Array, Any]:
        del extra
        self.check_count(self.objectives, len(gram))
        tau = jnp.asarray(self.tau, gram.dtype)
        if tau.ndim and tau.shape != (len(gram) - 1,):
            raise ValueError(
                f"pcd: tau has shape {tau.shape} for {len(gram) - 1} objectives after the first"
            )
        count = state.count + 1
        b2 = jnp.asarray(core.at(self.b2, state.count), gram.dtype)
        squares = core.average(state.squares.astype(gram.dtype), jnp.diagonal(gram), b2)
        size = core.sqrt(core.debias(squares, b2, count) + jnp.asarray(self.eps_root, gram.dtype))
        lengths, cosines = _stacked.cone(gram)
        normalized = core.divide(lengths, size)
        # With y in units of the gradients' lengths: C y >= tau n - C_1 n_1, and y >= 0.
        wanted = tau * normalized[1:] - cosines[1:, 0] * normalized[0]
        wanted = jnp.where(lengths[1:] > 0, wanted, 0)
        unit = jnp.max(jnp.abs(wanted), initial=0)
        linear = -core.divide(wanted, unit)
        z = linalg.nonnegative_qp(cosines[1:, 1:], linear)
        residual = linalg.qp_residual(cosines[1:, 1:], linear, z)
        z = jnp.where(residual <= linalg.qp_tolerance(gram.dtype), z, 0)
        y = jnp.concatenate([normalized[:1], unit * z])
        square = y @ cosines @ y
        still = square <= 10 * jnp.finfo(gram.dtype).eps * jnp.sum(y) ** 2
        length = core.sqrt(jnp.where(still, 0, square))
        weights = core.divide(core.divide(lengths[0], length) * y, lengths)
        unsolved = count_unsolved(state.unsolved, residual)
        return weights, PcdState(count, squares.astype(state.squares.dtype), unsolved)

    def schedule_counts(self, state: Any) -> dict[str, Any]:
        return {"b2": state.count}


@core.builds(Pcd)
def pcd(
    objectives: int,
    tau: Scalar | Sequence[Scalar] = 0.02,
    b2: ScalarOrSchedule = 0.999,
    eps_root: Scalar = 1e-8,
):
    r"""PCD follows the first gradient as closely as a share of progress for the others allows.

    $$d = \operatorname*{argmin}_x\ \tfrac12 \lVert x - \tilde g_1 \rVert^2
    \quad\text{such that}\quad \langle \tilde g_j, x \rangle \ge \tau \lVert \tilde g_j \rVert^2
    \ \text{for } j > 1,\qquad u = \frac{\lVert g_1 \rVert}{\lVert d \rVert}\, d$$

    where $\tilde g_i = g_i / \sqrt{\hat v_i + \epsilon}$, and $\hat v_i$ is the debiased average
    of $\lVert g_i \rVert^2$ over the steps. The first objective is what matters; the others only
    constrain it, whatever their scales. Gradients come in with a leading axis of objectives on
    every array, as `jax.jacrev` gives them, and go out without it. Inner products are taken over
    all arrays together.

    Args:
      objectives: how many there are, the first one included; sets the shape of the state.
      tau: share of the progress along its own gradient that each objective after the first one
        gets at least, in [0, 1]; one for all of them, or a sequence of one for each.
      b2: decay of the average of squared lengths, in [0, 1).
      eps_root: added to the average before the root [squared gradient units], in [0, inf).

    Returns:
      The transformation, to be the first link of a chain. State: the average of the squared
      length of each gradient, a count of steps, and a count of the steps at which no direction
      met the constraints to 1e-4 (1e-9 in float64).

    Raises:
      ValueError: gradients without the leading axis, or of another number of objectives; a
        sequence `tau` of another length than the objectives after the first one; a number
        outside its range.

    Properties:
      Idempotent. Not non-conflicting: [[1, 0], [-3, 0]], for the first objective; the others
      are never harmed where constraints can be met.
      Not linear under scaling: [[1, 0], [-0.0001, 0.0001]].
      Not permutation invariant: [[1, 0], [0, 1]]. Not strongly stationary: [[0, 0], [1, 0]].
      Not mean without conflict: [[1, 0], [0, 1]].

    References:
      Varam and AlHajri, "Not All Objectives Are Born Equal: Priority-Constrained Descent for
      Hierarchical Multi-Objective Optimization", arXiv:2606.29521, Algorithm 1 and Definitions
      4.1 and 4.5, as the authors' code numbers them.

    Differs:
      The program is solved by pivoting on unit gradients, where the authors try every set of
      active constraints. Constraints that no direction meets are dropped for the step, as
      in the paper, and the step is counted.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> first = gl.pcd(2, tau=0.0)
      >>> gradients = jnp.array([[1.0, 0.0], [-1.0, 1.0]])
      >>> update, _ = first.update(gradients, first.init(jnp.zeros(2)))
      >>> [round(float(x), 4) for x in update]
      [0.7071, 0.7071]
    """


ENTRY = core.Entry(
    pcd,
    formula="u = |g_1| / |d| d, d = project(g_1 / s_1 onto {x: <g_j, x> >= tau |g_j|^2 / s_j})",
    paper=("varam2026not",),
    example={"objectives": 3, "tau": 0.9, "b2": 0.9, "eps_root": 0.1},
    search_space={"tau": (0.0, 0.5, "linear"), "b2": (0.9, 0.9999, "linear")},
    needs=("stacked",),
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="A constraint becomes active where the first gradient falls short of a share, and "
        "all are dropped where no direction meets them; at that point the derivative is that of "
        "one side.",
    ),
)
