"""The weights of learned optimizers: fresh, shipped, checked."""

from __future__ import annotations

import functools
import math
from importlib import resources
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

MLP_INPUTS = 21
"""The features of a coordinate: six that are normalised, four ratios, eleven of the step."""

MLP_NAMES = ("w0", "b0", "w1", "b1", "w2", "b2")
RNN_NAMES = ("wx", "wh", "b", "out", "bias")


def mlp_weights(key: jax.Array, hidden: int = 32) -> dict[str, jax.Array]:
    """Fresh weights of `learned_mlp`: normal numbers over the root of the inputs, biases zero.

    Args:
      key: a random key.
      hidden: units of each of the two hidden layers, at least 1.

    Returns:
      A dict of arrays.

    Example:
      >>> import gradlab as gl, jax
      >>> weights = gl.meta.mlp_weights(jax.random.key(0), 8)
      >>> {name: x.shape for name, x in weights.items() if name[0] == "w"}
      {'w0': (21, 8), 'w1': (8, 8), 'w2': (8, 2)}
    """
    sizes = (MLP_INPUTS, hidden, hidden, 2)
    found = {}
    for i, k in enumerate(jax.random.split(key, 3)):
        found[f"w{i}"] = jax.random.normal(k, sizes[i : i + 2]) / math.sqrt(sizes[i])
        found[f"b{i}"] = jnp.zeros(sizes[i + 1])
    return found


def rnn_weights(key: jax.Array, hidden: int = 8) -> dict[str, jax.Array]:
    """Fresh weights of `learned_rnn`: normal numbers over the root of the inputs, biases zero.

    Args:
      key: a random key.
      hidden: units of the recurrent layer, at least 1.

    Returns:
      A dict of arrays; the gates lie side by side: update, reset, candidate.

    Example:
      >>> import gradlab as gl, jax
      >>> gl.meta.rnn_weights(jax.random.key(0), 4)["wh"].shape
      (4, 12)
    """
    keys, root = jax.random.split(key, 3), math.sqrt(hidden)
    return {
        "wx": jax.random.normal(keys[0], (2, 3 * hidden)) / math.sqrt(2),
        "wh": jax.random.normal(keys[1], (hidden, 3 * hidden)) / root,
        "b": jnp.zeros(3 * hidden),
        "out": jax.random.normal(keys[2], (hidden,)) / root,
        "bias": jnp.zeros(1),
    }


@functools.cache
def shipped(name: str) -> dict[str, np.ndarray]:
    """The trained weights that come with the package."""
    path = resources.files("gradlab.meta.learned").joinpath(f"trained/{name}.npz")
    with path.open("rb") as file, np.load(file) as arrays:
        return {key: arrays[key] for key in arrays}


def check_shapes(owner: str, weights: Any, expected: dict[str, tuple[int, ...]]) -> None:
    """Refuses weights of other names or shapes.

    Raises:
      ValueError: naming the first array that is missing, too many, or of another shape.
    """
    for name in [*expected, *(weights if isinstance(weights, dict) else ())]:
        if not isinstance(weights, dict) or name not in weights or name not in expected:
            found = sorted(weights) if isinstance(weights, dict) else repr(weights)
            raise ValueError(f"{owner}: weights needs the arrays {list(expected)}, got {found}")
        if np.shape(weights[name]) != expected[name]:
            raise ValueError(
                f"{owner}: weights[{name!r}] has the shape {np.shape(weights[name])}, "
                f"expected {expected[name]}"
            )


def size(weights: Any, name: str, axis: int) -> int:
    """A length that one array has and the others have to fit; 0 where there is none."""
    shape = np.shape(weights.get(name, ())) if isinstance(weights, dict) else ()
    return shape[axis] if shape else 0
