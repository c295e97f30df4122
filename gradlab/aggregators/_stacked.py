"""Gradients of several objectives, stacked along the first axis of every array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.tree_util import keystr

from gradlab import core
from gradlab.core import Params, Updates

BLOCK = 4096
"""Coordinates of a block of long gradients, whose inner products are taken one after the other."""


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
    return inner_products(updates, updates)


def inner_products(left: Updates, right: Updates) -> jax.Array:
    """Inner products of the gradients of one stack with those of another."""
    total: Any = 0.0
    for x, y in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        dtype = jnp.promote_types(jnp.float32, jnp.result_type(x, y))
        total = total + _inner(jnp.asarray(x, dtype), jnp.asarray(y, dtype))
    return total


def _at_once(x: jax.Array, y: jax.Array) -> jax.Array:
    axes = tuple(range(1, x.ndim))
    return jnp.real(jnp.tensordot(x, y.conj(), (axes, axes), precision=lax.Precision.HIGHEST))


def _in_blocks(x: jax.Array, y: jax.Array) -> jax.Array:
    """The same, some thousand coordinates after the other."""
    x, y = x.reshape(len(x), -1), y.reshape(len(y), -1)
    whole = x.shape[1] - x.shape[1] % BLOCK

    def add(i: Any, total: jax.Array) -> jax.Array:
        a, b = (lax.dynamic_slice_in_dim(z, i * BLOCK, BLOCK, 1) for z in (x, y))
        return total + _at_once(a, b)

    return lax.fori_loop(0, whole // BLOCK, add, _at_once(x[:, whole:], y[:, whole:]))


@jax.custom_jvp
def _inner(x: jax.Array, y: jax.Array) -> jax.Array:
    # XLA on CPU copies one of two long matrices that meet along their rows.
    if x.size < 2 * BLOCK * len(x):
        return _at_once(x, y)
    return lax.platform_dependent(x, y, cpu=_in_blocks, default=_at_once)


# A loop that slices would be transposed into one that adds arrays of full size.
@_inner.defjvp
def _inner_jvp(primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    (x, y), (dx, dy) = primals, tangents
    return _inner(x, y), _at_once(dx, y) + _at_once(x, dy)


def regularized(gram: jax.Array, eps: Any) -> jax.Array:
    """The Gramian with a multiple of its trace added to its diagonal."""
    ridge = jnp.asarray(eps, gram.dtype) * jnp.trace(gram)
    return gram + ridge * jnp.eye(len(gram), dtype=gram.dtype)


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


def between(
    owner: str, updates: Updates, count: int, trim: int, reduce: Callable[[jax.Array, int], Any]
) -> Updates:
    """Reduces what lies between the `trim` smallest and largest numbers of each coordinate.

    Raises:
      TypeError: complex gradients.
      ValueError: nothing is left.
    """
    if count <= 2 * trim:
        raise ValueError(
            f"{owner}: leaving out {trim} at each end needs at least {2 * trim + 1} objectives, "
            f"but there are {count}"
        )

    def leaf(x: Any) -> Any:
        x = jnp.asarray(x, core.compute_dtype(x))
        if jnp.issubdtype(x.dtype, jnp.complexfloating):
            raise TypeError(f"{owner}: complex gradients have no order")
        return reduce(jnp.sort(x, axis=0)[trim : count - trim], 0)

    return jax.tree.map(leaf, updates)


def samples_up_to_three(value: Any) -> int:
    """One, two or three, for the static fields that count independent samples."""
    count = core.count_at_least(1)(value)
    if count > 3:
        raise ValueError(f"expected 1, 2 or 3 samples, got {count}")
    return count


def across_samples(gram: jax.Array, objectives: int) -> jax.Array:
    """Inner products of the gradients on the first sample with those on the second.

    Those on the only one with each other, where there is one sample.
    """
    second = objectives if len(gram) > objectives else 0
    return gram[:objectives, second : second + objectives]
