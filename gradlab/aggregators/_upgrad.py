"""UPGrad: unconflicting projections of gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradlab import core, linalg
from gradlab.aggregators import _stacked
from gradlab.core import Params, Scalar, Updates, hyper, static


def _threshold(value: Any) -> float:
    if isinstance(value, bool) or not 0 <= value < np.inf:
        raise ValueError("expected a number in [0, inf)")
    return float(value)


class Upgrad(core.Rule):
    """Projects each gradient onto the cone of directions that harm no objective."""

    pref_vector: Sequence[Scalar] | None = hyper("[0, inf)")
    reg_eps: Scalar = hyper("[0, inf)")
    norm_eps: float = static(convert=_threshold)

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, Any]:
        del extra
        count = _stacked.objectives("upgrad", updates, params)
        if count is None:
            return updates, state
        gram = _stacked.gramian(updates)
        weights = self.weights(gram, self.preferences(count).astype(gram.dtype))
        return _stacked.combine(weights, updates), state

    def preferences(self, count: int) -> jax.Array:
        """The weight of each objective before any projection."""
        if self.pref_vector is None:
            return jnp.full(count, 1 / count)
        preferences = jnp.asarray(self.pref_vector)
        if preferences.shape != (count,):
            raise ValueError(
                f"upgrad: pref_vector has shape {preferences.shape} for {count} objectives"
            )
        return preferences

    def weights(self, gram: jax.Array, preferences: jax.Array) -> jax.Array:
        """The weight of each gradient in the result."""
        size = jnp.trace(gram)
        ridge = jnp.asarray(self.reg_eps, gram.dtype) * size
        lengths, cosines = _stacked.cone(gram + ridge * jnp.eye(preferences.size, dtype=gram.dtype))
        # Row i: how the projection of the unit gradient i is made of unit gradients.
        z = jnp.eye(preferences.size, dtype=gram.dtype) + linalg.nonnegative_qp(cosines, cosines)
        weights = jnp.sum(preferences[:, None] * core.divide(lengths[:, None], lengths) * z, axis=0)
        return jnp.where(size < self.norm_eps, preferences, weights)


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
      The transformation, to be the first link of a chain. No state.

    Raises:
      ValueError: gradients without the leading axis, such as a sum; a preference of the
        wrong length; a number outside its range.

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
