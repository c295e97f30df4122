"""Gradients in a Sobolev space: smoothed, or sharpened, in the frequency domain."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import Params, Scalar, Updates, hyper, static


def _axes(value: Any) -> tuple[int, ...] | None:
    if value is None:
        return None
    return tuple(map(core.integer, value if isinstance(value, tuple | list) else (value,)))


class SobolevGradient(core.Rule):
    """Divides frequencies of the gradient by a power of one plus their square."""

    order: Scalar = hyper()
    length: Scalar = hyper("[0, inf)")
    axes: tuple[int, ...] | None = static(convert=_axes)

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, Any]:
        def leaf(h: Any, g: jax.Array) -> jax.Array:
            axes = tuple(range(g.ndim)) if self.axes is None else self.axes
            if not axes or not g.size:
                return g
            frequencies = [
                2 * math.pi * jnp.fft.fftfreq(g.shape[a], dtype=g.real.dtype) for a in axes
            ]
            squares = jnp.meshgrid(*map(jnp.square, frequencies), indexing="ij")
            weight = (1 + h.length**2 * functools.reduce(jnp.add, squares)) ** -h.order
            last = tuple(range(-len(axes), 0))
            waves = jnp.fft.fftn(jnp.moveaxis(g, axes, last), axes=last) * weight
            smooth = jnp.moveaxis(jnp.fft.ifftn(waves, axes=last), last, axes)
            return smooth if jnp.iscomplexobj(g) else smooth.real

        (updates,) = self.each(leaf, updates)
        return updates, state


@core.builds(SobolevGradient)
def sobolev_gradient(
    order: Scalar = 1.0, length: Scalar = 1.0, axes: int | tuple[int, ...] | None = None
):
    r"""Takes the gradient in a Sobolev space, which smooths it where the order is positive.

    $$g \leftarrow (I - \ell^2 \Delta)^{-s} g,\quad
    \hat g(\omega) \leftarrow \frac{\hat g(\omega)}{(1 + \ell^2 |\omega|^2)^s}$$

    for parameters that are a field on a grid: an image, a velocity model, a signal. It is the
    direction of steepest descent in $H^s$. With order −s it turns the gradient of half the
    squared $L^2$ distance between a field and data into that of the $H^s$ distance. It stands
    before an optimizer; boundaries are periodic.

    Args:
      order: s, a real number; 0 leaves the gradient as it is, a negative one sharpens it.
      length: ℓ, below which the field is smoothed [grid points], in [0, inf).
      axes: axes of the grid. None: all axes of each array.

    Returns:
      The transformation. State: none.

    Raises:
      ValueError: a hyperparameter outside its range; an array without one of the axes.
      TypeError: an axis is no integer.

    References:
      Zhu, Hu, Lou and Yang, "Implicit Regularization Effects of the Sobolev Norms in Image
      Processing", arXiv:2109.06255v2, the $H^s$ norm and its gradient.

    Differs:
      The paper has ℓ = 1. Frequencies are angles per grid point; with a grid spacing h of the
      unit of length take ℓ = 1 / h.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> opt = gl.sobolev_gradient(1.0, 100.0)
      >>> g, _ = opt.update(jnp.array([1.0, 1.0, 1.0, 5.0]), opt.init(None))
      >>> [round(x, 2) for x in g.tolist()]
      [2.0, 2.0, 2.0, 2.0]
    """


ENTRY = core.Entry(
    sobolev_gradient,
    formula="fft(g) /= (1 + length**2 * frequency**2)**order",
    paper=("M208",),
    example={"order": 0.7, "length": 0.8},
    search_space={"length": (0.1, 10.0, "log")},
    traits=core.Traits(elementwise=False),
)
