"""What a layer was fed, for transformations that read more than gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradlab import core
from gradlab.core import Params, Updates


def layer_inputs(
    owner: str, inputs: Any, updates: Updates, memories: Any = None
) -> list[jax.Array | None]:
    """The inputs of each weight array, as matrices with a row for each example.

    Args:
      owner: the public function, for messages.
      inputs: for weights of shape (..., outputs) an array whose last axis is as long as all
        axes before the last one of the weights together. It is a tree like the parameters, or
        a part of one; nothing, None or a masked node stand for no inputs. Containers are
        matched by path.
      updates: the gradients.
      memories: None, or a tree like the parameters of what is kept for the layers that have to
        have inputs, as all others have not; empty arrays for those.

    Returns:
      A list along the leaves of `updates`, absent ones too; None where there are no inputs.

    Raises:
      ValueError: inputs where there are no weights, or of another length than the weights
        have, or none where there have to be some; the message names the path.
    """
    names = core.leaf_names(updates)
    weights = dict(zip(names, jax.tree.leaves(updates, is_leaf=core.is_absent), strict=True))
    arrays = jax.tree.leaves(inputs, is_leaf=core.is_absent)
    given = dict(zip(core.leaf_names(inputs), arrays, strict=True))
    given = {name: x for name, x in given.items() if not core.is_absent(x)}
    for name, x in given.items():
        where = name or "the root"
        if name not in weights or core.is_absent(weights[name]):
            raise ValueError(
                f"{owner}: inputs are given for {where}, where there is no parameter; "
                f"parameters are at {', '.join(names) or 'no path'}"
            )
        shape = weights[name].shape
        width = weights[name].size // max(1, shape[-1]) if shape else 0
        if len(shape) < 2 or x.shape[-1:] != (width,):
            raise ValueError(
                f"{owner}: inputs of shape {x.shape} do not fit the weights at {where}, of shape "
                f"{shape}: their last axis should have length {width}"
            )
    rows = {name: x.reshape(-1, x.shape[-1]) for name, x in given.items()}
    if memories is None:
        return [rows.get(name) for name in names]
    kept = core.flatten_like(jax.tree.structure(updates, is_leaf=core.is_absent), memories)
    fed = [name for name, m in zip(names, kept, strict=True) if not core.is_absent(m) and m.size]
    for name in set(fed) - set(rows):
        raise ValueError(f"{owner}: inputs has nothing for {name or 'the root'}")
    return [rows[name] if name in fed else None for name in names]


def over_layers(
    rule: core.Rule, leaf: Callable[..., Any], updates: Updates, inputs: Any, *states: Any
) -> tuple:
    """Applies `leaf(h, g, *states, x)` where there are inputs; all else stays as it is.

    A rule with states needs the inputs of all layers for which the first state is not empty.

    Returns:
      The updates and the new states.
    """
    inputs = layer_inputs(rule.owner(), inputs, updates, states[0] if states else None)
    gradients, treedef = jax.tree.flatten(updates, is_leaf=core.is_absent)
    columns = [gradients, *(core.flatten_like(treedef, tree) for tree in states)]
    fed = [i for i, x in enumerate(inputs) if x is not None and gradients[i].size]
    rows = [[column[i] for i in fed] for column in columns]
    results = rule.each(leaf, *rows, reads=([inputs[i] for i in fed],))
    for column, result in zip(columns, results, strict=True):
        for i, value in zip(fed, result, strict=True):
            column[i] = value
    return tuple(treedef.unflatten(column) for column in columns)


def example_inputs(params: Params, reserved: dict[str, Any]) -> dict[str, Any]:
    """Inputs of every weight array, five rows each, to try a transformation with."""
    del reserved
    draw = np.random.default_rng(2)

    def leaf(p: Any) -> Any:
        if np.ndim(p) < 2 or not p.size:
            return None
        dtype = jnp.finfo(p.dtype).dtype  # real for complex weights
        return jnp.asarray(draw.normal(size=(5, p.size // p.shape[-1])), dtype)

    return {"inputs": jax.tree.map(leaf, params)}
