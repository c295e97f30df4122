"""Gradients of several objectives, stacked along the first axis of every array."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.tree_util import keystr

from gradlab import core
from gradlab.core import Params, Updates


class Cone(NamedTuple):
    """Gradients by their lengths and the cosines between them, whatever their scales.

    Attributes:
      lengths: the norm of each gradient, of shape `(objectives,)`.
      cosines: of shape `(objectives, objectives)`, with ones on the diagonal; a gradient
        that is zero is orthogonal to all others.
    """

    lengths: jax.Array
    cosines: jax.Array


def objectives(owner: str, updates: Updates, params: Params | None) -> int | None:
    """How many gradients are stacked; None where there is no array.

    Raises:
      ValueError: an array without an axis of objectives (a gradient that was already
        summed), or of another number of them; the message names path and shapes.
    """
    leaves = jax.tree_util.tree_leaves_with_path(updates, is_leaf=core.is_none)
    treedef = jax.tree.structure(updates, is_leaf=core.is_none)
    targets = None if params is None else core.flatten_like(treedef, params, "updates", "params")
    sizes: dict[int, str] = {}
    for index, (path, x) in enumerate(leaves):
        if x is None:
            continue
        where = keystr(path) or "the root"
        _check(owner, where, jnp.shape(x), None if targets is None else jnp.shape(targets[index]))
        sizes.setdefault(jnp.shape(x)[0], where)
    if len(sizes) > 1 or 0 in sizes:
        found = ", ".join(f"{size} at {where}" for size, where in sizes.items())
        raise ValueError(f"{owner}: all arrays need the same number of objectives; found {found}")
    return next(iter(sizes), None)


def _check(owner: str, where: str, shape: tuple, wanted: tuple | None) -> None:
    if shape and (wanted is None or shape[1:] == wanted):
        return
    summed = " It looks as if it was already summed." if shape in ((), wanted) else ""
    of = "" if wanted is None else f" for a parameter of shape {wanted}"
    raise ValueError(
        f"{owner}: the gradient at {where} has shape {shape}{of}; it needs a leading axis of "
        f"objectives, as jax.jacrev gives.{summed}"
    )


def gramian(updates: Updates) -> jax.Array:
    """Inner products of the gradients over all arrays, in float32 or wider."""
    total: Any = 0.0
    for x in jax.tree.leaves(updates):
        x = jnp.asarray(x, jnp.promote_types(jnp.float32, jnp.result_type(x)))
        axes = tuple(range(1, x.ndim))
        inner = jnp.tensordot(x, x.conj(), (axes, axes), precision=lax.Precision.HIGHEST)
        total = total + jnp.real(inner)
    return total


def cone(gram: jax.Array) -> Cone:
    """Lengths and cosines of a Gramian."""
    lengths = core.sqrt(jnp.diagonal(gram))
    # One length after the other: their product may overflow.
    cosines = core.divide(core.divide(gram, lengths[:, None]), lengths)
    same = jnp.eye(lengths.size, dtype=bool)
    return Cone(lengths, jnp.where(same, 1, jnp.clip(cosines, -1, 1)))


def combine(weights: jax.Array, updates: Updates) -> Updates:
    """The sum over objectives of weight times gradient."""

    def leaf(x: Any) -> Any:
        x = jnp.asarray(x, jnp.promote_types(jnp.float32, jnp.result_type(x)))
        return jnp.tensordot(weights.astype(x.dtype), x, 1, precision=lax.Precision.HIGHEST)

    return jax.tree.map(leaf, updates)
