"""ConFIG: a direction with given cosines to all gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core, linalg
from gradlab.aggregators import _stacked
from gradlab.aggregators._weighting import Weighting, denied, preferences
from gradlab.core import Scalar, hyper


class Config(Weighting):
    """Has the same cosine to every gradient, and the length of all projections together."""

    holds = ("permutation invariant", "linear under scaling", "idempotent")
    fails = denied(
        {
            "non-conflicting": ((1, 0), (-2, 1), (-2, -1)),
            "strongly stationary": ((1, 0), (1, 0), (-5, 0), (0, 1)),
            "mean without conflict": ((1, 0), (0, 1)),
        }
    )

    pref_vector: Sequence[Scalar] | None = hyper("[0, inf)")

    def weigh(self, gram: jax.Array, state: Any, **extra: Any) -> tuple[jax.Array, Any]:
        del extra
        wanted = preferences(self, len(gram), 1.0).astype(gram.dtype)
        lengths, cosines = _stacked.cone(gram)
        moving = lengths > 0
        cosines = jnp.where(moving[:, None] & moving, cosines, 0)
        q = linalg.psd_inverse(cosines) @ wanted  # the direction, made of unit gradients
        along = cosines @ q
        # Where no direction has these cosines, what was found is rounding.
        lost = 64 * jnp.finfo(q.dtype).eps * jnp.sqrt(wanted @ wanted)
        square = jnp.where(q @ along > lost**2, q @ along, 0)
        size = lengths @ along  # of all projections together, in lengths of the direction
        return core.divide(core.divide(size, square) * q, lengths), state


@core.builds(Config)
def config(pref_vector: Sequence[Scalar] | None = None):
    r"""ConFIG moves along a direction that has the same cosine to every gradient.

    $$u = \Big(\sum_i \langle g_i, v \rangle\Big)\, v,\quad
    v = \frac{U^+ c}{\lVert U^+ c \rVert}$$

    where the rows of U are the unit gradients. All losses decrease at the same relative rate,
    as fast as all projections allow together. Gradients come in with a leading axis of
    objectives on every array, as `jax.jacrev` gives them, and go out without it. Inner
    products are taken over all arrays together.

    Args:
      pref_vector: the cosines c, up to a common factor, in [0, inf), as a sequence; None for
        equal ones.

    Returns:
      The transformation, to be the first link of a chain. No state.

    Raises:
      ValueError: gradients without the leading axis, such as a sum; a preference of the
        wrong length; a number outside its range.

    Properties:
      Linear under scaling, permutation invariant, idempotent; non-conflicting where the
      gradients are linearly independent. Not non-conflicting:
      [[1, 0], [-2, 1], [-2, -1]].
      Not strongly stationary: [[1, 0], [1, 0], [-5, 0], [0, 1]].
      Not mean without conflict: [[1, 0], [0, 1]].

    References:
      Liu et al., "ConFIG: Towards Conflict-free Training of Physics Informed Neural
      Networks", arXiv:2408.11104, Equations 2 to 4.

    Differs:
      The pseudo-inverse of the unit gradients is found from their cosines, so that gradients
      which depend on each other up to the root of the precision count as dependent. Where no
      direction has the cosines asked for, the result is zero. A gradient that is zero is left
      out.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> free = gl.config()
      >>> gradients = jnp.array([[1.0, 0.0], [0.0, 3.0]])
      >>> update, _ = free.update(gradients, free.init(jnp.zeros(2)))
      >>> [round(float(x), 4) for x in update]
      [2.0, 2.0]
    """


ENTRY = core.Entry(
    config,
    formula="u = (sum_i <g_i, v>) v, v = pinv(U) c / |pinv(U) c|",
    paper=("liu2024config",),
    example={},
    needs=("stacked",),
    traits=core.Traits(elementwise=False),
)
