"""RotoGrad's scaling: gradients of one length, led by the objectives that learn slowest."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.aggregators._weighting import Weighting, denied
from gradlab.core import Params, static


class RotogradState(NamedTuple):
    """State of `rotograd`.

    Attributes:
      count: steps so far.
      start: lengths of the gradients at the start.
    """

    count: jax.Array
    start: jax.Array


class Rotograd(Weighting):
    """Gives all gradients one length, near that of those that shrank least."""

    holds = (
        "linear under scaling",
        "permutation invariant",
        "strongly stationary",
        "idempotent",
    )
    fails = denied(
        {
            "non-conflicting": ((1, 0), (-2, 1), (-2, -1)),
            "mean without conflict": ((1, 0), (0, 1)),
        }
    )

    objectives: int = static(convert=core.count_at_least(1))
    burn_in_period: int = static(convert=core.count_at_least(0))

    def init(self, params: Params) -> RotogradState:
        del params
        return RotogradState(core.step_count(), jnp.ones(self.objectives))

    def weigh(self, gram: jax.Array, state: Any, **extra: Any) -> tuple[jax.Array, Any]:
        del extra
        self.check_count(self.objectives, len(gram))
        lengths = core.sqrt(jnp.diagonal(gram))
        begins = (state.count == 0) | (state.count == self.burn_in_period)
        start = jnp.where(begins, lengths, state.start.astype(lengths.dtype))
        ratios = core.divide(lengths, start)
        length = core.divide(ratios @ lengths, jnp.sum(ratios))
        new = RotogradState(state.count + 1, start.astype(state.start.dtype))
        return core.divide(length, lengths), new


@core.builds(Rotograd)
def rotograd(objectives: int, *, burn_in_period: int = 20):
    r"""RotoGrad's scaling gives all gradients one length, set by those that shrank least.

    $$u = C \sum_i \frac{g_i}{\lVert g_i \rVert},\quad C = \sum_i \alpha_i \lVert g_i \rVert,
    \quad \alpha_i \propto \frac{\lVert g_i \rVert}{\lVert g_i^0 \rVert}$$

    where $g^0$ are the gradients at the start. Gradients come in with a leading axis of
    objectives on every array, as `jax.jacrev` gives them, and go out without it. Inner
    products are taken over all arrays together.

    Args:
      objectives: how many there are; sets the shape of the state.
      burn_in_period: the step whose gradients take the place of the first ones as $g^0$.

    Returns:
      The transformation, to be the first link of a chain. State: a length for each objective
      and a count.

    Raises:
      ValueError: gradients without the leading axis, or of another number of objectives.

    Properties:
      At the first step: linear under scaling, permutation invariant, strongly stationary,
      idempotent. Not non-conflicting: [[1, 0], [-2, 1], [-2, -1]].
      Not mean without conflict: [[1, 0], [0, 1]].

    References:
      Javaloy and Valera, "RotoGrad: Gradient Homogenization in Multitask Learning",
      arXiv:2103.02631, Section 3.1 (Equation 3).

    Differs:
      Only the scaling of gradients is here. The rotations of the features before each head
      are parameters of the model and are trained by a loss of their own. The paper scales
      gradients by the shared features; with stacks of those the numbers are the paper's.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> homogeneous = gl.rotograd(2)
      >>> gradients = jnp.array([[3.0, 0.0], [0.0, 1.0]])
      >>> update, _ = homogeneous.update(gradients, homogeneous.init(jnp.zeros(2)))
      >>> [round(float(x), 4) for x in update]
      [2.0, 2.0]
    """


ENTRY = core.Entry(
    rotograd,
    formula="u = C sum_i g_i / |g_i|, C = sum_i a_i |g_i|, a_i ~ |g_i| / |g_i at the start|",
    paper=("javaloy2021rotograd",),
    example={"objectives": 3},
    needs=("stacked",),
    traits=core.Traits(elementwise=False),
)
