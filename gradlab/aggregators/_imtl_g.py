"""IMTL-G: a direction along which all gradients have the same projection."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core, linalg
from gradlab.aggregators._weighting import Weighting, denied


class ImtlG(Weighting):
    """Has the same projection on every unit gradient."""

    holds = ("permutation invariant", "idempotent")
    fails = denied(
        {
            "non-conflicting": ((1, 0), (-2, 0)),
            "linear under scaling": ((1, 0), (0, 1)),
            "strongly stationary": ((386, 0, 0), (0, 386, 0), (140, 84, 63)),
            "mean without conflict": ((1, 0), (0, 2)),
        }
    )

    def weigh(self, gram: jax.Array, state: Any, **extra: Any) -> tuple[jax.Array, Any]:
        del extra
        gram = core.divide(gram, jnp.max(jnp.diagonal(gram)))
        v = linalg.psd_inverse(gram) @ core.sqrt(jnp.diagonal(gram))
        total = jnp.sum(v)
        balanced = jnp.abs(total) > 64 * jnp.finfo(v.dtype).eps * jnp.sum(jnp.abs(v))
        return core.divide(v, jnp.where(balanced, total, 0)), state


@core.builds(ImtlG)
def imtl_g():
    r"""IMTL-G finds a combination whose projections on all unit gradients are equal.

    $$u = \sum_i w_i g_i,\quad \sum_i w_i = 1,\quad
    \Big\langle u, \frac{g_i}{\lVert g_i \rVert} \Big\rangle = \text{the same for all } i$$

    solved by $w \propto (J J^\top)^+ \ell$ with the lengths $\ell$ of the gradients. Weights
    may be negative. Gradients come in with a leading axis of objectives on every array, as
    `jax.jacrev` gives them, and go out without it. Inner products are taken over all arrays
    together.

    Args:
      There are none.

    Returns:
      The transformation, to be the first link of a chain. No state.

    Raises:
      ValueError: gradients without the leading axis, such as a sum.

    Properties:
      Permutation invariant, idempotent. Not non-conflicting: [[1, 0], [-2, 0]].
      Not linear under scaling: [[1, 0], [0, 1]]. Not strongly stationary:
      [[386, 0, 0], [0, 386, 0], [140, 84, 63]].
      Not mean without conflict: [[1, 0], [0, 2]].

    References:
      Liu et al., "Towards Impartial Multi-task Learning", ICLR 2021, Equation 6; Quinton and
      Rey, arXiv:2406.16232v3, for the pseudo-inverse.

    Differs:
      The pseudo-inverse covers gradients that depend on each other, where the paper's inverse
      does not exist. Where the weights would sum to zero the result is zero.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> impartial = gl.imtl_g()
      >>> gradients = jnp.array([[1.0, 0.0], [0.0, 3.0]])
      >>> update, _ = impartial.update(gradients, impartial.init(jnp.zeros(2)))
      >>> [round(float(x), 4) for x in update]
      [0.75, 0.75]
    """


ENTRY = core.Entry(
    imtl_g,
    formula="u = sum_i w_i g_i, w = pinv(J J') l / sum, l_i = |g_i|",
    paper=("liu2021towards", "M066"),
    example={},
    needs=("stacked",),
    traits=core.Traits(elementwise=False),
)
