"""Units of hidden layers: which weights lead to and from each, and how they begin anew.

A layer is described by the paths of the arrays around it. Weights are stored as (..., inputs,
outputs): units are the last axis of what leads to them, the last but one of what leads on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import Params, Updates, static
from gradlab.wrappers._displaced import moved

INITIALIZERS = ("he_uniform", "he_normal", "glorot_uniform", "lecun_uniform", "lecun_normal")


class Layer(NamedTuple):
    """A hidden layer in a tree of parameters.

    Attributes:
      name: that of its activations.
      units: how many there are.
      incoming, outgoing: positions of the arrays that lead to them and that lead on.
    """

    name: str
    units: int
    incoming: tuple[int, ...]
    outgoing: tuple[int, ...]


class LayerUnits(core.Wrapper):
    """An optimizer that lets some units of hidden layers begin anew."""

    needs = ("activations",)
    wide_updates = True
    layers: Any = static()
    kernel_init: str = static(convert=core.one_of(*INITIALIZERS))
    key: int | tuple[int, ...] | None = static(convert=core.seed_or_words)

    def found(self, params: Params) -> list[Layer]:
        """The layers of these parameters, in the order of their description.

        Raises:
          ValueError: no pair of patterns, one that matches nothing, or axes that do not fit.
        """
        described: Any = core.thaw(self.layers)
        described = described(params) if callable(described) else described
        return [self._found(name, pair, params) for name, pair in described.items()]

    def _found(self, name: str, pair: Any, params: Params) -> Layer:
        if isinstance(pair, str) or len(pair) != 2:
            raise ValueError(
                f"{self.owner()}: layers[{name!r}]={pair!r} is no pair of what is incoming and "
                "what is outgoing"
            )
        leaves = jax.tree.leaves(params)
        paths = [path for path, _ in _named(params)]

        def positions(patterns: Any, side: str) -> tuple[int, ...]:
            labels = core.by_path({f"{side} of {name}": patterns}, "others")(params)
            every = jax.tree.leaves(params, is_leaf=core.is_absent)
            pairs = zip(jax.tree.leaves(labels), every, strict=True)
            marks = [label for label, leaf in pairs if not core.is_absent(leaf)]
            return tuple(i for i, mark in enumerate(marks) if mark != "others")

        into, onwards = positions(pair[0], "incoming"), positions(pair[1], "outgoing")
        units = jnp.shape(leaves[into[0]])[-1:]
        for i in into + onwards:
            shape = jnp.shape(leaves[i])
            axis = shape[-1:] if i in into else shape[-2:-1]
            fits = axis == units if i in into else axis and axis[0] % units[0] == 0
            if not units or not fits:
                raise ValueError(
                    f"{self.owner()}: layers[{name!r}]: {paths[i]} has shape {shape}, "
                    f"{paths[into[0]]} has {jnp.shape(leaves[into[0]])}: the last axis of what "
                    "is incoming, and the last but one of what is outgoing, are the units"
                )
        return Layer(name, units[0], into, onwards)

    def activity(self, activations: Any, layers: list[Layer]) -> list[jax.Array]:
        """The mean size of each unit's activation over all other axes, layer by layer.

        Raises:
          ValueError: a layer without activations, or with another number of units.
        """
        given = dict(_named(activations))
        found = []
        for layer in layers:
            if layer.name not in given:
                raise ValueError(
                    f"{self.owner()}: no activations of layers[{layer.name!r}]; there are "
                    f"{', '.join(given) or 'none'}"
                )
            h = jnp.asarray(given[layer.name])
            if h.shape[-1:] != (layer.units,):
                raise ValueError(
                    f"{self.owner()}: activations of {layer.name!r} have shape {h.shape}; the "
                    f"layer has {layer.units} units"
                )
            size = jnp.abs(h).astype(core.compute_dtype(h.real))
            found.append(jnp.mean(size, axis=tuple(range(h.ndim - 1))))
        return found

    def reach(self, layer: Layer, params: Params, steps: Updates) -> jax.Array:
        """How large the weights that lead on from each unit are, after the step."""
        leaves = jax.tree.leaves(moved(params, steps))
        total = jnp.zeros(layer.units)
        for i in layer.outgoing:
            weights = jnp.abs(leaves[i])
            rows = jnp.sum(jnp.moveaxis(weights, -2, 0), axis=range(1, weights.ndim))
            total = total + per_unit(rows, layer.units)
        return total

    def renewed(
        self,
        chosen: list[jax.Array],
        layers: list[Layer],
        key: jax.Array,
        steps: Updates,
        inner_state: Any,
        params: Params,
    ) -> tuple[Updates, Any]:
        """Steps that bring chosen units to a new beginning, and the inner state to theirs.

        What leads to a chosen unit is drawn anew (vectors are set to zero), what leads on from
        it is zero, layer by layer. All other updates, and numbers of the state, stay as they
        are to the bit.

        Args:
          chosen: for each layer which units.
          layers: the layers.
          key: for the draws.
          steps: those of the inner optimizer.
          inner_state: its state after the step.
          params: the parameters before it.
        """
        leaves, treedef = jax.tree.flatten(params)
        moves = core.flatten_like(treedef, steps, "params", "updates")
        touched: list[Any] = [None] * len(leaves)
        init = getattr(jax.nn.initializers, self.kernel_init)()

        def begin(i: int, mask: jax.Array, value: Any) -> None:
            p = jnp.asarray(leaves[i])
            wide = core.compute_dtype(p)
            # The sum of parameter and update is rounded to the parameter's dtype: a value
            # that it holds comes out as it is.
            value = jnp.asarray(value, p.dtype).astype(wide) - p.astype(wide)
            old = 0 if moves[i] is None else jnp.asarray(moves[i]).astype(wide)
            moves[i] = jnp.where(mask, value, old)
            mask = jnp.broadcast_to(mask, p.shape)
            touched[i] = mask if touched[i] is None else touched[i] | mask

        for layer, mask in zip(layers, chosen, strict=True):
            for i in layer.incoming:
                key, sample = jax.random.split(key)
                p = jnp.asarray(leaves[i])
                begin(i, mask, init(core.fusible(sample), p.shape, p.dtype) if p.ndim > 1 else 0)
            for i in layer.outgoing:
                begin(i, across_rows(mask, leaves[i])[:, None], 0)
        fresh = self.inner.rule.init(moved(params, treedef.unflatten(moves)))

        def renew(owner: int | None, old: jax.Array, new: jax.Array) -> jax.Array:
            if owner is None or touched[owner] is None:
                return old
            return jnp.where(touched[owner], new.astype(old.dtype), old)

        numbers, structure = jax.tree.flatten(inner_state)
        owners = core.owners_in_state(inner_state, params)
        rows = zip(owners, numbers, jax.tree.leaves(fresh), strict=True)
        return treedef.unflatten(moves), structure.unflatten([renew(*row) for row in rows])


def across_rows(per_unit: jax.Array, weights: Any) -> jax.Array:
    """A number for each unit as one for each row of what leads on from them.

    Where an image was flattened there are several rows for a unit, channels last.
    """
    return jnp.tile(per_unit, jnp.shape(weights)[-2] // len(per_unit))


def per_unit(rows: jax.Array, units: int) -> jax.Array:
    """The sum over all rows of a unit: the transpose of `across_rows`."""
    return jnp.sum(rows.reshape(-1, units), axis=0)


def _named(tree: Any) -> list[tuple[str, Any]]:
    pairs = zip(core.leaf_names(tree), jax.tree.leaves(tree, is_leaf=core.is_absent), strict=True)
    return [(name, leaf) for name, leaf in pairs if not core.is_absent(leaf)]


def example_layers(params: Params) -> Mapping[str, tuple]:
    """The layers of the contract's problem; other trees have none."""
    paths = [path for path, _ in _named(params)]
    if "hidden/kernel" not in paths:
        return {}
    return {"embed": ("embed", "hidden/kernel"), "hidden": ("hidden/*", "head")}


def example_activations(params: Params, given: dict[str, Any]) -> dict[str, Any]:
    """Activations of those layers."""
    del given
    if not example_layers(params):
        return {"activations": {}}
    read, hidden = params["embed"][:2], params["hidden"]
    active = jax.nn.relu(read @ hidden["kernel"] + hidden["bias"])
    # Two units of nearly the same utility: which of them is the less useful depends on the step.
    read = read.at[:, 0].multiply(1.001)
    return {"activations": {"embed": read, "hidden": active}}


Layers = Mapping[str, tuple] | Callable[[Params], Mapping[str, tuple]]
"""Name of activations to patterns of what leads to their units, and of what leads on."""
