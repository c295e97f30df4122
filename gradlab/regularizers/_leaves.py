"""Which arrays of a tree are penalised, and as what."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import keystr

from gradlab import core
from gradlab.core import Mask, Params


def chosen(owner: str, mask: Mask, params: Params, ndim: int) -> list[jax.Array]:
    """The arrays that count, in float32 or wider.

    Args:
      owner: the public function, for messages.
      mask: a tree of bools, or a function from params to one. None: all arrays of real or
        complex numbers with elements and at least `ndim` axes.
      params: the parameters.
      ndim: how many axes an array has to have.

    Raises:
      ValueError: the mask fits no parameter, chooses none, or chooses an array that is not
        of numbers or has too few axes; the message names the path.
    """
    marks = _marks(owner, mask, params, ndim)
    leaves = zip(jax.tree.leaves(params), marks, strict=True)
    return [widened(x) for x, keep in leaves if keep and jnp.size(x)]


def replace_chosen(
    function: Callable[[jax.Array], jax.Array], owner: str, mask: Mask, params: Params, ndim: int
) -> Params:
    """The tree with a function applied to the arrays that count, in their dtypes."""
    leaves, treedef = jax.tree.flatten(params)
    marks = _marks(owner, mask, params, ndim)

    def new(x: Any) -> jax.Array:
        return function(widened(x)).astype(jnp.result_type(x))

    pairs = zip(leaves, marks, strict=True)
    return treedef.unflatten([new(x) if keep and jnp.size(x) else x for x, keep in pairs])


def _marks(owner: str, mask: Mask, params: Params, ndim: int) -> list[bool]:
    leaves = jax.tree_util.tree_leaves_with_path(params)
    fits = [_is_inexact(x) and jnp.ndim(x) >= ndim for _, x in leaves]
    if mask is None:
        return fits
    marks = jax.tree.leaves(core.decay_mask(mask, params))
    for (path, x), keep, fit in zip(leaves, marks, fits, strict=True):
        if keep and not fit:
            raise ValueError(
                f"{owner}: mask chooses the parameter at {keystr(path) or 'the root'}, of shape "
                f"{jnp.shape(x)} and {jnp.result_type(x)}; it takes arrays of real or complex "
                f"numbers with at least {ndim} axes"
            )
    return marks


def _is_inexact(x: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(x), jnp.inexact)


def widened(x: Any) -> Any:
    """An array of real or complex numbers in float32 or wider; all others as they are."""
    return jnp.asarray(x, core.compute_dtype(x)) if _is_inexact(x) else x


def matrices(x: jax.Array, stack_axes: int = 0) -> jax.Array:
    """An array of weights as matrices, of shape `(matrices, inputs, outputs)`.

    The last axis are the outputs. All others but the stacked ones are inputs, so that the
    kernel of a convolution, (height, width, inputs, outputs), is one matrix.

    Args:
      x: weights.
      stack_axes: how many leading axes only stack kernels, of layers that are scanned say.
    """
    lead = math.prod(x.shape[:stack_axes])
    return x.reshape(lead, -1, x.shape[-1])


def total(weight: Any, penalties: list[jax.Array]) -> jax.Array:
    """The weight times the sum of penalties, in float32 or wider."""
    value = sum(penalties, jnp.zeros([], jnp.float32))
    return jnp.asarray(weight, value.dtype) * value
