"""Sparse training: of each neuron only the largest weights are updated."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradlab import core
from gradlab.core import Mask, Params, Updates, static
from gradlab.linalg import largest_of_units


class SparseUpdateMaskState(NamedTuple):
    """Which weights are updated; one True for an array whose weights all are."""

    kept: Any


class SparseUpdateMask(core.Rule):
    """Drops the updates of all but the initially largest weights of each neuron."""

    connections: int = static(convert=core.count_at_least(1))
    unit_axis: int = static(convert=core.integer)
    mask: Mask = static()

    def init(self, params: Params) -> SparseUpdateMaskState:
        def leaf(p: Any, chosen: bool) -> jax.Array:
            if not chosen or np.ndim(p) == 0:
                return jnp.ones([], bool)
            kept = largest_of_units(core.absolute(p), self.connections, self.unit_axis)
            return jnp.where(jnp.zeros_like(p, bool), False, kept)  # placed like the parameter

        chosen = core.weight_arrays(self.mask, params)
        return SparseUpdateMaskState(jax.tree.map(leaf, params, chosen))

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, SparseUpdateMaskState]:
        def leaf(h: Any, u: jax.Array, kept: jax.Array) -> jax.Array:
            return jnp.where(kept != 0, u, jnp.zeros_like(u))

        (updates,) = self.each(leaf, updates, reads=(state.kept,))
        return updates, state


@core.builds(SparseUpdateMask)
def sparse_update_mask(connections: int, unit_axis: int = -1, *, mask: Mask = None):
    r"""Sparse training updates the largest weights of each neuron and leaves all others.

    $$u_{ij} \leftarrow u_{ij}\,[\,|w_{ij}| \text{ was at the start among the } K
    \text{ largest that feed neuron } j\,]$$

    Fewer coordinates that several tasks share make conflicts of their gradients rarer. As the
    last link of a chain it keeps all other weights as they are, whatever momentum and weight
    decay say; before an optimizer it hides their gradients. `gl.pcgrad()` and its like stand
    before it.

    Args:
      connections: weights K of each neuron that are updated, at least 1; more than a neuron
        has updates all of them.
      unit_axis: the axis that counts neurons. -1 for weights stored as (..., inputs, outputs).
      mask: which arrays this is done to, a tree of bools or a function from parameters to one;
        all others are updated as a whole. None: arrays of two or more dimensions.

    Returns:
      The transformation. State: a bool for each parameter.

    Raises:
      ValueError: an argument outside its range; a mask that selects nothing.
      TypeError: `connections` or `unit_axis` is no integer.

    References:
      Zhang, Shen, Cao, Dai, Zhou, Zhang, Zhang and Shutova, "Proactive Gradient Conflict
      Mitigation in Multi-Task Learning: A Sparse Training Perspective", arXiv:2411.18615v1,
      section 3.4.

    Differs:
      The paper does not say what happens to biases; here they are updated. It trains decoders
      as a whole: leave them out of `mask`. Of equal weights, the first are chosen.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> opt, params = gl.sparse_update_mask(1), jnp.array([[3.0, -1.0], [2.0, 5.0]])
      >>> opt.update(jnp.ones((2, 2)), opt.init(params), params)[0].tolist()
      [[1.0, 0.0], [0.0, 1.0]]
    """


ENTRY = core.Entry(
    sparse_update_mask,
    formula="u = u where |w| was among the K largest of its neuron, else 0",
    paper=("M067",),
    example={"connections": 2},
)
