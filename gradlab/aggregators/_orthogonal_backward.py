"""Orthogonal backward gradients: what cannot cancel the forward one."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.aggregators import _stacked
from gradlab.aggregators._weighting import Weighting, denied
from gradlab.core import Scalar, hyper


class OrthogonalBackward(Weighting):
    """Adds to the first gradient what of the others is orthogonal to it."""

    holds = ("linear under scaling", "strongly stationary", "idempotent")
    fails = denied(
        {
            "non-conflicting": ((1, 0), (-9, 1)),
            "permutation invariant": ((1, 0), (1, 1)),
            "mean without conflict": ((1, 0), (0, 1)),
        }
    )

    eta: Scalar = hyper("[0, inf)")

    def weigh(self, gram: jax.Array, state: Any, **extra: Any) -> tuple[jax.Array, Any]:
        del extra
        eta = jnp.asarray(self.eta, gram.dtype)
        lengths, cosines = _stacked.cone(gram)
        others = jnp.arange(len(gram)) > 0
        along = core.divide(jnp.sum(jnp.where(others, cosines[0] * lengths, 0)), lengths[0])
        return jnp.where(others, eta, 1 - eta * along), state


@core.builds(OrthogonalBackward)
def orthogonal_backward(eta: Scalar = 1.0):
    r"""An orthogonal backward gradient is added to the forward one, which it cannot cancel.

    $$u = g_0 + \eta \Big(a - \frac{\langle a, g_0 \rangle}{\lVert g_0 \rVert^2}\, g_0\Big),
    \quad a = \sum_{i \ge 1} g_i$$

    For values of states, $g_0$ is the gradient of the loss by the value of the present state
    (forward), and $g_1$ by that of the next one (backward): the first alone bootstraps, the
    sum is the true gradient. Gradients come in with a leading axis on every array: forward,
    then backward, and go out without it. Inner products are taken over all arrays together.

    Args:
      eta: weight η of the backward gradient, in [0, inf); 0 is the semi-gradient.

    Returns:
      The transformation, to be the first link of a chain. No state.

    Raises:
      ValueError: gradients without the leading axis, such as a sum; a number outside its
        range.

    Properties:
      Linear under scaling, strongly stationary, idempotent.
      Not non-conflicting: [[1, 0], [-9, 1]]. Not permutation invariant: [[1, 0], [1, 1]].
      Not mean without conflict: [[1, 0], [0, 1]].

    References:
      Mao et al., "ODICE: Revealing the Mystery of Distribution Correction Estimation via
      Orthogonal-gradient Update", ICLR 2024; the authors' code has η = 1.

    Differs:
      Both gradients are those of the loss, with its signs, as in the authors' code, so that
      the projected one is added. A gradient of other terms of the loss is added afterwards.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> orthogonal = gl.orthogonal_backward()
      >>> gradients = jnp.array([[2.0, 0.0], [-3.0, 1.0]])
      >>> orthogonal.update(gradients, orthogonal.init(jnp.zeros(2)))[0].tolist()
      [2.0, 1.0]
    """


ENTRY = core.Entry(
    orthogonal_backward,
    formula="u = g_0 + eta (a - <a, g_0> / |g_0|^2 g_0), a = sum of the others",
    paper=("M052",),
    example={"eta": 0.5},
    search_space={"eta": (0.01, 10.0, "log")},
    needs=("stacked",),
    traits=core.Traits(elementwise=False),
)
