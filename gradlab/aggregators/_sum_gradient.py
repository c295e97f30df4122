"""The sum of the gradients."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.aggregators._weighting import Weighting, denied


class SumGradient(Weighting):
    """Adds the gradients up."""

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

    def weigh(self, gram: jax.Array, state: Any, **extra: Any) -> tuple[jax.Array, Any]:
        del extra
        return jnp.ones(len(gram), gram.dtype), state


@core.builds(SumGradient)
def sum_gradient():
    r"""The sum of the gradients is what training on the sum of the losses follows.

    $$u = \sum_i g_i$$

    Gradients come in with a leading axis of objectives on every array, as `jax.jacrev` gives
    them, and go out without it.

    Args:
      There are none.

    Returns:
      The transformation, to be the first link of a chain. No state.

    Raises:
      ValueError: gradients without the leading axis, such as a sum.

    Properties:
      Linear under scaling, permutation invariant, strongly stationary, idempotent.
      Not non-conflicting: [[1, 0], [-2, 1]]. Not mean without conflict: [[1, 0], [0, 1]].

    References:
      Quinton and Rey, "Jacobian Descent For Multi-Objective Optimization",
      arXiv:2406.16232v3, for the setting.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> total = gl.sum_gradient()
      >>> gradients = jnp.array([[1.0, 0.0], [-2.0, 1.0]])
      >>> total.update(gradients, total.init(jnp.zeros(2)))[0].tolist()
      [-1.0, 1.0]
    """


ENTRY = core.Entry(
    sum_gradient,
    formula="u = sum_i g_i",
    paper=("M066",),
    example={},
    needs=("stacked",),
    traits=core.Traits(
        temporaries="gradients are combined by a matrix product, whose result is stored",
    ),
)
