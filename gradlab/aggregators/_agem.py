"""A-GEM: a gradient projected off one that it conflicts with."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.aggregators import _stacked
from gradlab.aggregators._weighting import Weighting, denied


class Agem(Weighting):
    """Projects the first gradient off the mean of the others where they conflict."""

    holds = ("idempotent",)
    fails = denied(
        {
            "non-conflicting": ((1, 1), (1, -4), (-9, 4)),
            "linear under scaling": ((1, 0), (-2, 1), (-2, -3)),
            "permutation invariant": ((1, 0), (0, 1)),
            "strongly stationary": ((0, 0), (1, 0)),
            "mean without conflict": ((1, 0), (0, 1)),
        }
    )

    def weigh(self, gram: jax.Array, state: Any, **extra: Any) -> tuple[jax.Array, Any]:
        del extra
        lengths, cosines = _stacked.cone(gram)
        others = jnp.where(jnp.arange(len(gram)) > 0, lengths, 0)
        reference = core.divide(others, jnp.max(others))  # made of unit gradients
        reference = jnp.where(lengths > 0, reference, 0)
        along = cosines @ reference
        excess = core.divide(jnp.minimum(along[0], 0), reference @ along)
        first = (jnp.arange(len(gram)) == 0).astype(gram.dtype)
        return first - core.divide(lengths[0] * excess * reference, lengths), state


@core.builds(Agem)
def agem():
    r"""A-GEM projects a gradient off a reference gradient that it conflicts with.

    $$u = g_0 - \frac{\min(0, \langle g_0, r \rangle)}{\lVert r \rVert^2}\, r,\quad
    r = \frac{1}{m - 1} \sum_{i \ge 1} g_i$$

    In continual learning $g_0$ is the gradient of the present task, or of the joint loss of
    present and replayed examples, and r that of replayed examples. Gradients come in with a
    leading axis of objectives on every array, as `jax.jacrev` gives them, and go out without
    it. Inner products are taken over all arrays together.

    Args:
      There are none.

    Returns:
      The transformation, to be the first link of a chain. No state.

    Raises:
      ValueError: gradients without the leading axis, such as a sum.

    Properties:
      Idempotent; with two gradients it conflicts with neither.
      Not non-conflicting: [[1, 1], [1, -4], [-9, 4]].
      Not linear under scaling: [[1, 0], [-2, 1], [-2, -3]].
      Not permutation invariant: [[1, 0], [0, 1]]. Not strongly stationary: [[0, 0], [1, 0]].
      Not mean without conflict: [[1, 0], [0, 1]].

    References:
      Hess, Tuytelaars and van de Ven, "Two Complementary Perspectives to Continual Learning:
      Ask Not Only What to Optimize, But Also How", 2023, which applies it to the joint loss;
      Chaudhry et al., "Efficient Lifelong Learning with A-GEM", arXiv:1812.00420, Equation 11.

    Differs:
      Several reference gradients are averaged.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> surgery = gl.agem()
      >>> gradients = jnp.array([[1.0, 1.0], [-2.0, 0.0]])
      >>> update, _ = surgery.update(gradients, surgery.init(jnp.zeros(2)))
      >>> [round(float(x), 4) for x in update]
      [0.0, 1.0]
    """


ENTRY = core.Entry(
    agem,
    formula="u = g_0 - min(0, <g_0, r>) / |r|^2 r, r = mean of the others",
    paper=("M025", "chaudhry2018efficient"),
    example={},
    needs=("stacked",),
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="The projection sets in where the inner product becomes negative; at zero the "
        "derivative is half of that beyond.",
    ),
)
