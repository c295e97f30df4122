"""Gradients whose mean over each unit is zero."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import Params, Updates, static


class Centralize(core.Rule):
    """Subtracts from the gradient of each unit its mean."""

    unit_axis: int = static(convert=core.integer)

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, Any]:
        def leaf(h: Any, g: jax.Array) -> jax.Array:
            if g.ndim < 2:
                return g
            unit = range(g.ndim)[self.unit_axis]
            rest = tuple(axis for axis in range(g.ndim) if axis != unit)
            return g - jnp.mean(g, rest, keepdims=True)

        (updates,) = self.each(leaf, updates)
        return updates, state


@core.builds(Centralize)
def centralize(unit_axis: int = 0):
    r"""Gradient centralization subtracts from the gradient of each unit its mean.

    $$G_i \leftarrow G_i - \frac1n \sum_{j=1}^{n} G_{ij}$$

    for every unit i of an array of two or more dimensions; vectors and scalars pass unchanged.
    It stands before an optimizer. Weights then keep the mean that they started with.

    Args:
      unit_axis: the axis along which units are counted; the mean is over all other axes. 0 is
        optax's, and right for weights stored as (outputs, inputs). -1 is the paper's for
        weights stored as (inputs, outputs) and for convolutions whose last axis is outputs.

    Returns:
      The transformation. State: none.

    Raises:
      TypeError: `unit_axis` is no integer.
      IndexError: an array of two or more dimensions does not have this axis.

    References:
      Yong, Huang, Hua and Zhang, "Gradient Centralization: A New Optimization Technique for
      Deep Neural Networks", arXiv:2004.01461, equation 1.

    Differs:
      The default is optax's axis, which is the paper's for its own layout alone. optax has no
      `unit_axis`.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> opt = gl.centralize()
      >>> opt.update(jnp.array([[1.0, 2.0, 3.0], [4.0, 5.0, 9.0]]), opt.init(None))[0].tolist()
      [[-1.0, 0.0, 1.0], [-2.0, -1.0, 3.0]]
    """


ENTRY = core.Entry(
    centralize,
    formula="g -= mean of g over each unit",
    paper=("yong2020gradient",),
    example={},
    traits=core.Traits(elementwise=False),
)
