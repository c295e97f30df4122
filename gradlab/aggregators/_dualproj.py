"""DualProj: the mean gradient, projected off all conflicts at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core, linalg
from gradlab.aggregators import _stacked
from gradlab.aggregators._weighting import (
    SolverState,
    Weighting,
    count_unsolved,
    denied,
    preferences,
    threshold,
)
from gradlab.core import Params, Scalar, hyper, static


class Dualproj(Weighting):
    """Projects the mean onto the cone of directions that harm no objective."""

    holds = (
        "non-conflicting",
        "permutation invariant",
        "strongly stationary",
        "idempotent",
        "mean without conflict",
    )
    fails = denied(
        {
            "linear under scaling": ((1, 0), (-2, 1)),
        }
    )

    pref_vector: Sequence[Scalar] | None = hyper("[0, inf)")
    reg_eps: Scalar = hyper("[0, inf)")
    norm_eps: float = static(convert=threshold)

    def init(self, params: Params) -> SolverState:
        del params
        return SolverState.new()

    def weigh(self, gram: jax.Array, state: Any, **extra: Any) -> tuple[jax.Array, Any]:
        del extra
        wanted = preferences(self, len(gram), 1 / len(gram)).astype(gram.dtype)
        size = jnp.trace(gram)
        lengths, cosines = _stacked.cone(_stacked.regularized(gram, self.reg_eps))
        mean = wanted * lengths  # made of unit gradients
        unit = core.divide(mean, jnp.max(jnp.abs(mean)))
        linear = cosines @ unit
        z = linalg.nonnegative_qp(cosines, linear)
        added = core.divide(jnp.max(jnp.abs(mean)) * z, lengths)
        unsolved = count_unsolved(state.unsolved, linalg.qp_residual(cosines, linear, z))
        return jnp.where(size < self.norm_eps, wanted, wanted + added), SolverState(unsolved)


@core.builds(Dualproj)
def dualproj(
    pref_vector: Sequence[Scalar] | None = None,
    reg_eps: Scalar = 0.0,
    *,
    norm_eps: float = 0.0,
):
    r"""DualProj projects the mean gradient onto the cone of directions that harm no objective.

    $$u = J^\top \operatorname*{argmin}_{v \ge c} v^\top J J^\top v
    = \operatorname*{argmin}_{x:\ J x \ge 0} \lVert x - J^\top c \rVert$$

    where the rows of J are the gradients $g_i$. Gradients come in with a leading axis of
    objectives on every array, as `jax.jacrev` gives them, and go out without it. Inner
    products are taken over all arrays together.

    Args:
      pref_vector: weight c of each objective, in [0, inf), as a sequence; None for the mean.
        One for the present task and zero for stored ones is gradient episodic memory.
      reg_eps: added to the diagonal of the Gramian over its trace, in [0, inf). Above 0 the
        projection of nearly opposite gradients is damped.
      norm_eps: below this trace of the Gramian [squared gradient units] nothing is
        projected; decides a branch and so is no hyperparameter.

    Returns:
      The transformation, to be the first link of a chain. State: a count of the steps whose
      program was not solved to 1e-4 (1e-9 in float64).

    Raises:
      ValueError: gradients without the leading axis, such as a sum; a preference of the
        wrong length; a number outside its range.

    Properties:
      Non-conflicting, permutation invariant, strongly stationary, idempotent, mean without
      conflict.
      Not linear under scaling: [[1, 0], [-2, 1]].

    References:
      Lopez-Paz and Ranzato, "Gradient Episodic Memory for Continual Learning",
      arXiv:1706.08840, Equation 11; Quinton and Rey, arXiv:2406.16232v3, where it has this
      name.

    Differs:
      As in the second paper the mean is projected; the first one projects the gradient of the
      present task. The margin γ that the first one adds to v is left out.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> surgery = gl.dualproj()
      >>> gradients = jnp.array([[1.0, 0.0], [-2.0, 1.0]])
      >>> update, _ = surgery.update(gradients, surgery.init(jnp.zeros(2)))
      >>> [round(float(x), 4) for x in update]
      [0.0, 0.5]
    """


ENTRY = core.Entry(
    dualproj,
    formula="u = project(sum_i c_i g_i onto {x: J x >= 0})",
    paper=("lopezpaz2017gradient", "M066"),
    example={},
    search_space={"reg_eps": (1e-6, 1e-2, "log")},
    needs=("stacked",),
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="A constraint of the projection becomes active where the mean begins to conflict "
        "with a gradient; at that point the derivative is that of one side.",
    ),
)
