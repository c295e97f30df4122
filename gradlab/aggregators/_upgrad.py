"""UPGrad: unconflicting projections of gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core, linalg
from gradlab.aggregators import _stacked
from gradlab.aggregators._weighting import (
    PROPERTIES,
    SolverState,
    Weighting,
    count_unsolved,
    preferences,
    threshold,
)
from gradlab.core import Params, Scalar, hyper, static


class Upgrad(Weighting):
    """Projects each gradient onto the cone of directions that harm no objective."""

    holds = PROPERTIES

    pref_vector: Sequence[Scalar] | None = hyper("[0, inf)")
    reg_eps: Scalar = hyper("[0, inf)")
    norm_eps: float = static(convert=threshold)

    def init(self, params: Params) -> SolverState:
        del params
        return SolverState.new()

    def weigh(self, gram: jax.Array, state: Any, **extra: Any) -> tuple[jax.Array, Any]:
        del extra
        wanted = preferences(self, len(gram), 1 / len(gram)).astype(gram.dtype)
        lengths, cosines = _stacked.cone(_stacked.regularized(gram, self.reg_eps))
        z = linalg.nonnegative_qp(cosines, cosines)
        unsolved = count_unsolved(
            state.unsolved, jnp.max(linalg.qp_residual(cosines, cosines, z), initial=0)
        )
        # Row i: how the projection of the unit gradient i is made of unit gradients.
        z = jnp.eye(len(gram), dtype=gram.dtype) + z
        weights = jnp.sum(wanted[:, None] * core.divide(lengths[:, None], lengths) * z, axis=0)
        small = jnp.trace(gram) < self.norm_eps
        return jnp.where(small, wanted, weights), SolverState(unsolved)


@core.builds(Upgrad)
def upgrad(
    pref_vector: Sequence[Scalar] | None = None,
    reg_eps: Scalar = 0.0,
    *,
    norm_eps: float = 0.0,
):
    r"""UPGrad projects each gradient onto the cone of directions that harm no objective.

    $$u = \sum_i c_i\, \pi(g_i),\quad \pi(g_i) = J^\top \operatorname*{argmin}_{v \ge e_i}
    v^\top J J^\top v$$

    where the rows of J are the gradients $g_i$, and π is the projection onto
    $\{x : J x \ge 0\}$. The result conflicts with no objective, and scales with each gradient.
    Gradients come in with a leading axis of objectives on every array, as `jax.jacrev` gives
    them, and go out without it. Inner products are taken over all arrays together.

    Args:
      pref_vector: weight c of each objective, in [0, inf), as a sequence; None for the mean.
      reg_eps: added to the diagonal of the Gramian over its trace, in [0, inf). Above 0 the
        projection of nearly opposite gradients is damped, and small gradients no longer
        count in full.
      norm_eps: below this trace of the Gramian [squared gradient units] nothing is
        projected; decides a branch and so is no hyperparameter.

    Returns:
      The transformation, to be the first link of a chain. State: a count of the steps whose
      programs were not all solved to 1e-4 (1e-9 in float64).

    Raises:
      ValueError: gradients without the leading axis, such as a sum; a preference of the
        wrong length; a number outside its range.

    Properties:
      Non-conflicting, linear under scaling, permutation invariant, strongly stationary,
      idempotent, mean without conflict; all of them with the default arguments.

    References:
      Quinton and Rey, "Jacobian Descent For Multi-Objective Optimization",
      arXiv:2406.16232v3, equation 3 and Proposition 1.

    Differs:
      The paper's own rule is `reg_eps=norm_eps=0`, which is the default here, and the only
      one that scales with each gradient. The authors' package has 1e-4 for both; with these
      its numbers come out. The programs are solved on unit gradients, so that scales do not
      matter; a gradient that is zero is left out.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> surgery = gl.upgrad()
      >>> gradients = jnp.array([[1.0, 0.0], [-1.0, 1.0]])
      >>> surgery.update(gradients, surgery.init(jnp.zeros(2)))[0].tolist()
      [0.25, 0.75]
    """


ENTRY = core.Entry(
    upgrad,
    formula="u = sum_i c_i * project(g_i onto {x: J x >= 0})",
    paper=("M066",),
    example={},
    search_space={"reg_eps": (1e-6, 1e-2, "log")},
    needs=("stacked",),
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="A constraint of the projection becomes active where two gradients begin to "
        "conflict; at that point the derivative is that of one side.",
    ),
)
