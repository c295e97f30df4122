"""Directions in which a loss is curved most and least, kept beside an optimizer's state."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree

from gradlab import core
from gradlab.core import Params, Updates
from gradlab.linalg import extreme_eigenpairs


def extreme_curvature(
    grad_fn: Callable[[Params], Updates],
    params: Params,
    like: Any,
    largest: int,
    smallest: int,
    order: int | None,
    key: jax.Array,
) -> tuple[jax.Array, Any]:
    """Extreme eigenvalues of a Hessian, and their vectors as a tree.

    Args:
      grad_fn: gradients from parameters.
      params: where the Hessian is taken; at least one number.
      like: a tree like the parameters with a leading axis, whose dtypes the vectors get.
      largest: how many at the upper end.
      smallest: how many at the lower end.
      order: number of vectors of Lanczos' method. None: four for each eigenvalue, and at
        least 2 log n of n numbers.
      key: for the vectors that it begins with.

    Returns:
      Eigenvalues in ascending order, the smallest before the largest, and vectors of length
      one, each a row of the tree. Zeros between them stand for what the Hessian is too small
      to have.
    """
    params = jax.tree.map(jnp.asarray, params)
    wide = jax.tree.map(lambda p: p.astype(core.compute_dtype(p)), params)
    flat, unravel = ravel_pytree(wide)
    size = len(flat)
    upper = min(largest, size)
    lower = min(smallest, size - upper)

    def product(v: jax.Array) -> jax.Array:
        tangent = jax.tree.map(lambda t, p: t.astype(p.dtype), unravel(v), params)
        change = jax.jvp(grad_fn, (params,), (tangent,))[1]
        return ravel_pytree(change)[0].astype(flat.dtype)

    least = max(4 * (upper + lower), 2 * int(math.log(size)))
    order = max(upper + lower, min(order or least, size))
    starts = jax.random.normal(key, (order, size), flat.dtype)
    values, vectors = extreme_eigenpairs(product, starts, upper, lower)
    lost = jnp.array([lower] * (largest + smallest - upper - lower), int)
    values, vectors = jnp.insert(values, lost, 0), jnp.insert(vectors, lost, 0, axis=0)
    rows = jax.vmap(unravel)(vectors)
    return values, jax.tree.map(lambda x, old: x.astype(old.dtype), rows, like)


def within(directions: Any, tree: Updates, weights: Any = 1.0) -> Updates:
    """The part of a tree in the span of orthonormal directions, each weighted."""
    leaves, treedef = jax.tree.flatten(tree, is_leaf=core.is_none)
    rows = core.flatten_like(treedef, directions)
    pairs = [(d, x) for d, x in zip(rows, leaves, strict=True) if x is not None]
    exact = lax.Precision.HIGHEST
    shares = sum(jnp.tensordot(d, x, axes=x.ndim, precision=exact) for d, x in pairs) * weights

    def leaf(d: jax.Array, x: Any) -> Any:
        if x is None:
            return None
        return jnp.tensordot(shares.astype(d.dtype), d, axes=1, precision=exact)

    return treedef.unflatten(map(leaf, rows, leaves))
