"""Bloop: an auxiliary gradient off the average of the main one."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.aggregators._weighting import Aggregator, denied
from gradlab.core import Params, Scalar, Updates, hyper


class BloopState(NamedTuple):
    """State of `bloop`.

    Attributes:
      count: steps so far.
      mu: the average of main gradients.
    """

    count: jax.Array
    mu: Any


class Bloop(Aggregator):
    """Adds of auxiliary gradients what is orthogonal to the average main one."""

    holds = ("linear under scaling", "strongly stationary", "idempotent")
    fails = denied(
        {
            "non-conflicting": ((1, 0), (-99, 1)),
            "permutation invariant": ((1, 0), (0, 1)),
            "mean without conflict": ((1, 0), (0, 1)),
        }
    )

    weight: Scalar = hyper("[0, inf)")
    b1: Scalar = hyper("[0, 1)")

    def init(self, params: Params) -> BloopState:
        return BloopState(core.step_count(), core.moments_like(params))

    def aggregate(
        self, updates: Updates, state: Any, count: int, **extra: Any
    ) -> tuple[Updates, Any]:
        del count, extra
        main = jax.tree.map(lambda x: jnp.asarray(x, core.compute_dtype(x))[0], updates)
        rest = jax.tree.map(
            lambda x: jnp.sum(jnp.asarray(x, core.compute_dtype(x))[1:], 0), updates
        )

        def leaf(h: Any, g: Any, m: Any) -> tuple:
            m = jnp.where(state.count == 0, g, core.average(m, g, h.b1))
            return m, m

        wide, mu = self.each(leaf, main, state.mu)
        ratio = core.divide(core.inner_product(wide, rest), core.inner_product(wide, wide))
        weight = jnp.asarray(self.weight, ratio.dtype)

        def combined(g: jax.Array, a: jax.Array, m: jax.Array) -> jax.Array:
            return g + (weight * (a - ratio * m)).astype(g.dtype)

        return jax.tree.map(combined, main, rest, wide), BloopState(state.count + 1, mu)


@core.builds(Bloop)
def bloop(weight: Scalar = 0.1, b1: Scalar = 0.9):
    r"""Bloop optimizes an auxiliary loss as far as the main loss does not mind.

    $$m \leftarrow b_1 m + (1 - b_1)\, g_0,\quad
    u = g_0 + \lambda \Big(a - \frac{\langle a, m \rangle}{\lVert m \rVert^2}\, m\Big),\quad
    a = \sum_{i \ge 1} g_i$$

    The first gradient is that of the main loss; of the others only what is orthogonal to its
    average is used. With gradients of small batches a single one would be too noisy to
    project off. Gradients come in with a leading axis of objectives on every array, as
    `jax.jacrev` gives them, and go out without it. Inner products are taken over all arrays
    together.

    Args:
      weight: λ of the auxiliary losses, in [0, inf).
      b1: decay of the average of main gradients, in [0, 1); 0 projects off the present one.

    Returns:
      The transformation, to be the first link of a chain. State: one average for each
      parameter and a count.

    Raises:
      ValueError: gradients without the leading axis, such as a sum; a number outside its
        range.

    Properties:
      At the first step: linear under scaling, strongly stationary, idempotent.
      Not non-conflicting: [[1, 0], [-99, 1]] (for the auxiliary gradient).
      Not permutation invariant: [[1, 0], [0, 1]]. Not mean without conflict: [[1, 0], [0, 1]].

    References:
      Hsieh et al., "Careful with that Scalpel: Improving Gradient Surgery with an EMA",
      arXiv:2402.02998, Algorithm 1.

    Differs:
      The average starts at the first main gradient, as in the authors' code, whose small
      constant in the division is left out. Several auxiliary gradients are added up.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> surgery = gl.bloop(0.5)
      >>> gradients = jnp.array([[2.0, 0.0], [-3.0, 1.0]])
      >>> surgery.update(gradients, surgery.init(jnp.zeros(2)))[0].tolist()
      [2.0, 0.5]
    """


ENTRY = core.Entry(
    bloop,
    formula="u = g_0 + l (a - <a, m> / |m|^2 m), m = average of g_0, a = sum of the others",
    paper=("M054",),
    example={"weight": 0.2, "b1": 0.8},
    search_space={"weight": (1e-3, 10.0, "log"), "b1": (0.0, 0.999, "linear")},
    needs=("stacked",),
    traits=core.Traits(elementwise=False),
)
