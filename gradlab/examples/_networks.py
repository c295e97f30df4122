"""Small fully connected networks, as the examples write them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp


def initial(key: Any, shapes: Mapping[str, tuple[int, int]]) -> dict[str, dict[str, Any]]:
    """Layers by name: weights of variance 2 over the inputs, biases at zero."""
    keys = jax.random.split(key, len(shapes))
    return {
        name: {
            "weights": (2 / shape[0]) ** 0.5 * jax.random.normal(key, shape),
            "bias": jnp.zeros(shape[1]),
        }
        for (name, shape), key in zip(shapes.items(), keys, strict=True)
    }


def apply(layer: Mapping[str, Any], x: Any) -> Any:
    """The outputs of one layer."""
    return x @ layer["weights"] + layer["bias"]


def outputs(layers: Sequence[Mapping[str, Any]], x: Any) -> Any:
    """The outputs of layers one after the other, with ReLU between them."""
    for layer in layers[:-1]:
        x = jax.nn.relu(apply(layer, x))
    return apply(layers[-1], x)
