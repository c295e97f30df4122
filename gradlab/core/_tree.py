"""Trees of arrays, with one policy for dtypes.

Rules compute in float32 or wider: the widest of float32, the gradient, the state and the
parameters. State is stored in the dtype it was initialised with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.interpreters.partial_eval import DynamicJaxprTracer

from gradlab.core._types import DType, Params, Updates


def is_none(x: Any) -> bool:
    return x is None


def is_staged(x: Any) -> bool:
    """Whether this stands for an array of a program that is being traced, and nothing more."""
    return isinstance(x, DynamicJaxprTracer)


def step_count() -> jax.Array:
    """A step counter at zero: int32 of shape ()."""
    return jnp.zeros([], jnp.int32)


def real_dtype(dtype: DType) -> np.dtype:
    """The real dtype of the same precision."""
    return np.dtype(jnp.finfo(dtype).dtype)


def state_dtype(dtype: DType, override: DType | None = None) -> DType:
    """The dtype of an average kept for a parameter: float32 below 32 bits.

    A real override does not make the average of a complex parameter real.
    """
    if override is None or jnp.issubdtype(dtype, jnp.complexfloating):
        return jnp.promote_types(dtype, jnp.float32)
    return override


def moments_like(params: Params, dtype: DType | None = None, fill: Any = 0.0) -> Any:
    """Fresh arrays shaped and sharded like the parameters, one average for each.

    Args:
      params: the parameters.
      dtype: the dtype to keep them in. None: the parameter's, and float32 for
        parameters of fewer than 32 bits.
      fill: the number they start at.

    Returns:
      A tree like `params`.
    """

    def leaf(p: Any) -> jax.Array:
        return jnp.full_like(p, fill, dtype=state_dtype(jnp.result_type(p), dtype))

    return jax.tree.map(leaf, params)


def init_moments(
    state_type: Any, params: Params, dtype: DType | None = None, **dtypes: DType | None
) -> Any:
    """A fresh state of counts and averages.

    Args:
      state_type: a named tuple. Fields whose name begins with `count` become step counts
        at zero, all others averages of the parameters at zero.
      params: the parameters.
      dtype: the dtype to keep averages in; see `moments_like`.
      **dtypes: the same for single fields, by name.

    Returns:
      The state.
    """

    def field(name: str) -> Any:
        counts = name.startswith("count")
        return step_count() if counts else moments_like(params, dtypes.get(name, dtype))

    return state_type(*map(field, state_type._fields))


def cast_like(tree: Any, like: Any, wide: bool = False) -> Any:
    """Every array of `tree` in the dtype of the array at the same place in `like`.

    With `wide` in float32 at least.
    """
    leaves, treedef = jax.tree.flatten(tree, is_leaf=is_none)
    targets = flatten_like(treedef, like, "updates", "params")
    return treedef.unflatten(
        [
            x if x is None else _cast(x, compute_dtype(t) if wide else jnp.result_type(t))
            for x, t in zip(leaves, targets, strict=True)
        ]
    )


def _cast(x: Any, dtype: DType) -> jax.Array:
    if jnp.issubdtype(jnp.result_type(x), jnp.complexfloating) and not jnp.issubdtype(
        dtype, jnp.complexfloating
    ):
        raise TypeError("a complex update cannot be applied to a real parameter")
    return jnp.asarray(x, dtype)


def flatten_like(treedef: Any, tree: Any, expected: str = "updates", got: str = "state") -> list:
    """The leaves of `tree`, cut where `treedef` has leaves.

    Raises:
      ValueError: the structures differ; the message names the first path.
    """
    try:
        return treedef.flatten_up_to(tree)
    except (ValueError, TypeError):
        raise ValueError(_difference(treedef, tree, expected, got)) from None


def _difference(treedef: Any, tree: Any, expected: str, got: str) -> str:
    placeholder = treedef.unflatten([0] * treedef.num_leaves)
    ours = {jax.tree_util.keystr(p) for p, _ in jax.tree_util.tree_leaves_with_path(placeholder)}
    theirs = {
        jax.tree_util.keystr(p)
        for p, _ in jax.tree_util.tree_leaves_with_path(tree, is_leaf=is_none)
    }
    missing, surplus = sorted(ours - theirs), sorted(theirs - ours)
    where = []
    if missing:
        where.append(f"{got} has nothing at {missing[0] or 'the root'}")
    if surplus:
        where.append(f"{expected} has nothing at {surplus[0] or 'the root'}")
    detail = "; ".join(where) or "the containers differ"
    return f"{expected} and {got} are trees of different structure: {detail}"


def compute_dtype(*arrays: Any) -> DType:
    """Float32, or wider if any of the arrays is; complex if any of them is."""
    return jnp.promote_types(jnp.float32, jnp.result_type(*[jnp.result_type(a) for a in arrays]))


def map_leaves(
    rule: Any, leaf: Callable[..., Any], updates: Updates, *states: Any, reads: tuple = ()
) -> tuple:
    """Applies the per-array form of a rule to every leaf.

    `leaf(h, g, *state_arrays, *read_arrays)` gets the rule with its hyperparameters in
    the compute dtype, the gradient, and arrays of the state and of `reads`, all in the
    compute dtype. It returns the update and one new array for each state (the update
    alone where there is no state).

    Args:
      rule: the rule, whose leaves are cast to the compute dtype of each array.
      leaf: the mathematics for one array.
      updates: gradients. A None leaf stands for no gradient: it yields no update and
        leaves the state as it is.
      *states: trees like `updates` that are read and written; each keeps its dtype.
      reads: trees like `updates` that are only read.

    Returns:
      The updates (in compute dtypes) and the new states.

    Raises:
      ValueError: trees of different structure; the message names the path.
    """
    gradients, treedef = jax.tree.flatten(updates, is_leaf=is_none)
    columns = [flatten_like(treedef, tree, "updates", "state") for tree in states]
    read_columns = [flatten_like(treedef, tree, "updates", "params") for tree in reads]
    formulas: dict[Any, Callable[..., tuple]] = {}
    outputs = []
    for g, old, read in zip(
        gradients, _rows(columns, len(gradients)), _rows(read_columns, len(gradients)), strict=True
    ):
        if g is None:
            outputs.append((None, *old))
            continue
        dtype = compute_dtype(g, *old, *read)
        key = dtype, is_staged(g)
        if key not in formulas:
            formulas[key] = _formula(rule, leaf, dtype, staged=key[1])
        outputs.append(formulas[key](g, old, read))
    trees = [treedef.unflatten(column) for column in zip(*outputs, strict=True)]
    if not trees:
        trees = [treedef.unflatten([]) for _ in range(1 + len(states))]
    return tuple(trees)


def _formula(
    rule: Any, leaf: Callable[..., Any], dtype: DType, staged: bool
) -> Callable[..., tuple]:
    """The per-array form with its dtype policy: update and new states, as they are stored."""
    cast = at_dtype(rule, real_dtype(dtype))

    def formula(g: Any, old: tuple, read: tuple) -> tuple:
        result = leaf(cast, *(_widen(x, dtype) for x in (g, *old, *read)))
        new = result if isinstance(result, tuple) else (result,)
        stored = (_store(n, jnp.result_type(o)) for n, o in zip(new[1:], old, strict=True))
        return new[0], *stored

    # Traced once for all arrays of one kind, and written into the program for each: tracing
    # thousands of arrays one by one takes longer than compiling them. Only while a program
    # is being made, since outside of one it would be compiled at every call.
    return jax.jit(formula, inline=True) if staged else formula


def _rows(columns: list[list], length: int) -> list[tuple]:
    return list(zip(*columns, strict=True)) if columns else [()] * length


def _widen(x: Any, dtype: DType) -> jax.Array:
    complex_input = jnp.issubdtype(jnp.result_type(x), jnp.complexfloating)
    return jnp.asarray(x, dtype if complex_input else real_dtype(dtype))


def _store(x: jax.Array, dtype: DType) -> jax.Array:
    return x if x.dtype == dtype else jnp.asarray(x, dtype)


def keep_dtypes(new: Any, old: Any) -> Any:
    """A new state, each array in the dtype that it had."""
    return jax.tree.map(lambda x, o: _store(x, o.dtype), new, old)


def at_dtype(rule: Any, dtype: DType) -> Any:
    """The rule with array hyperparameters in the given dtype; plain numbers stay plain.

    Plain numbers are combined in double precision by Python itself, so that `1 - b2` is
    exact to the last bit of the array's dtype.
    """

    def cast(x: Any) -> Any:
        return x if isinstance(x, float) or x is None else jnp.asarray(x, dtype)

    return jax.tree.map(cast, rule)
