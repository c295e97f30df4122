"""What a model's parameters and the state of an optimizer take, mode by mode."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

import gradlab as gl
from gradlab import catalog
from gradlab.bench.errors import StudyError

WIDTH = 1024
"""Side of the representative matrices; wide enough for biases and scales to vanish."""

Make = Callable[[optax.GradientTransformation], optax.GradientTransformation]

MODES: dict[str, tuple[Any, Make]] = {
    "float32": (jnp.float32, lambda opt: opt),
    "bfloat16 parameters, float32 state": (jnp.bfloat16, lambda opt: opt),
    "bfloat16, stochastic rounding": (
        jnp.bfloat16,
        lambda opt: gl.stochastic_rounding(opt, 0),
    ),
    "bfloat16, master weights": (jnp.bfloat16, gl.master_weights),
    "bfloat16, Kahan summation": (jnp.bfloat16, gl.kahan_summation),
    "bfloat16, weight splitting": (jnp.bfloat16, gl.weight_splitting),
    "float32, 8-bit state": (jnp.float32, gl.quantize_state),
    "float32, 4-bit state": (jnp.float32, lambda opt: gl.quantize_state(opt, "int4")),
    "float32, bfloat16 state": (jnp.float32, lambda opt: gl.quantize_state(opt, "bfloat16")),
    "bfloat16, weight splitting, 8-bit state": (
        jnp.bfloat16,
        lambda opt: gl.weight_splitting(gl.quantize_state(opt)),
    ),
}
"""Each mode: the dtype of the parameters, and what is put around the optimizer."""


@dataclasses.dataclass(frozen=True)
class Size:
    """What one mode takes for each parameter.

    Attributes:
      mode: its name.
      parameters: bytes of the parameter itself.
      state: bytes of the optimizer's state.
    """

    mode: str
    parameters: float
    state: float

    @property
    def total(self) -> float:
        return self.parameters + self.state

    def data(self, count: float) -> dict[str, Any]:
        """Plain data, in all for a number of parameters."""
        return {
            "mode": self.mode,
            "bytes_per_parameter": self.parameters,
            "state_bytes_per_parameter": self.state,
            "total_bytes": self.total * count,
        }


def count_of(text: str) -> float:
    """The number of parameters that a text such as `7B`, `124M` or `1.5e9` means.

    Raises:
      StudyError: it is no positive number.
    """
    units = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
    stripped = text.strip()
    unit = units.get(stripped[-1:].upper(), 1.0)
    number = stripped[:-1] if unit != 1.0 else stripped
    try:
        count = float(number) * unit
    except ValueError:
        count = math.nan
    if not (math.isfinite(count) and count > 0):
        raise StudyError(f"{text!r} is no number of parameters; write 7B, 124M or 1.5e9")
    return count


def sizes(entry: catalog.Entry) -> list[Size]:
    """What each mode takes for one method, on two layers of matrices with biases.

    Nothing is computed: the states are shapes.
    """
    return [_size(name, dtype, make(entry.make())) for name, (dtype, make) in MODES.items()]


def _size(mode: str, dtype: Any, opt: optax.GradientTransformation) -> Size:
    shapes = {"kernel": (WIDTH, 4 * WIDTH), "bias": (4 * WIDTH,)}
    layer = {name: jax.ShapeDtypeStruct(shape, dtype) for name, shape in shapes.items()}
    params = {"first": layer, "second": layer}
    count = sum(math.prod(x.shape) for x in jax.tree.leaves(params))
    return Size(mode, _bytes(params) / count, _bytes(jax.eval_shape(opt.init, params)) / count)


def _bytes(tree: Any) -> int:
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(tree))
