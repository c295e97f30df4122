"""Credit assignment of PLwF: every gradient projected off all that it conflicts with."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.aggregators import _stacked
from gradlab.aggregators._weighting import Weighting, denied


class PlwfCreditAssignment(Weighting):
    """Adds up gradients without what each has against another one."""

    holds = ("linear under scaling", "permutation invariant", "strongly stationary", "idempotent")
    fails = denied(
        {
            "non-conflicting": ((-3, 0), (2, 0), (1, 0)),
            "mean without conflict": ((1, 0), (0, 1)),
        }
    )

    def weigh(self, gram: jax.Array, state: Any, **extra: Any) -> tuple[jax.Array, Any]:
        del extra
        lengths, cosines = _stacked.cone(gram)
        against = lengths @ jnp.maximum(-cosines, 0)
        return 1 + core.divide(against, lengths), state


@core.builds(PlwfCreditAssignment)
def plwf_credit_assignment():
    r"""Credit assignment of PLwF removes from each gradient what it has against another one.

    $$u = \sum_i \Big(g_i - \sum_j \frac{\min(0, \langle g_i, g_j \rangle)}
    {\lVert g_j \rVert^2}\, g_j\Big)$$

    In continual learning without old data, one objective is the loss of the new task, and each
    other one the distance from what a model of an earlier task says. Gradients come in with a
    leading axis of objectives on every array, as `jax.jacrev` gives them, and go out without
    it. Inner products are taken over all arrays together.

    Args:
      There are none.

    Returns:
      The transformation, to be the first link of a chain. No state.

    Raises:
      ValueError: gradients without the leading axis, such as a sum.

    Properties:
      Linear under scaling, permutation invariant, strongly stationary, idempotent; with two
      gradients it conflicts with neither.
      Not non-conflicting: [[-3, 0], [2, 0], [1, 0]].
      Not mean without conflict: [[1, 0], [0, 1]].

    References:
      Feng, Yuan, Wang, Huang, Bian and Zhang, "Progressive Learning without Forgetting",
      arXiv:2211.15215.

    Differs:
      Of the paper only abstract and introduction were at hand: that conflicts of gradients are
      removed by projection, not in which order. Here all are projected as they came in, so that
      there is none. With two objectives this is PCGrad.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> surgery = gl.plwf_credit_assignment()
      >>> gradients = jnp.array([[1.0, 0.0], [-1.0, 1.0]])
      >>> update, _ = surgery.update(gradients, surgery.init(jnp.zeros(2)))
      >>> [round(float(x), 4) for x in update]
      [0.5, 1.5]
    """


ENTRY = core.Entry(
    plwf_credit_assignment,
    formula="u = sum_i (g_i - sum_j min(0, <g_i, g_j>) / |g_j|^2 g_j)",
    paper=("M024",),
    example={},
    needs=("stacked",),
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="A projection sets in where an inner product becomes negative; at zero the "
        "derivative is half of that beyond.",
    ),
)
