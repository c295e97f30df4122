"""Arrays of a state in few bits: which of them, and how they become float32 and back."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.tree_util import tree_map_with_path

from gradlab import core, linalg
from gradlab.core import ParameterPaths, Params, Updates
from gradlab.wrappers._state_policy import StatePolicy

NOT_NEGATIVE = ("nu", "nu_max", "sum_of_squares", "e_g", "e_x", "n")
"""Fields of states that hold second moments."""

BFLOAT16 = "bfloat16"


class QuantizedArray(NamedTuple):
    """An array of a state in few bits: codes, and a scale for each block of them."""

    codes: Any
    scales: Any


def is_quantized(x: Any) -> bool:
    return isinstance(x, QuantizedArray)


def codec_policy(value: Any) -> StatePolicy:
    """Codecs by field, from what a user says."""
    return StatePolicy.of(value, _codec)


def _codec(name: Any) -> str:
    return name if name == BFLOAT16 else linalg.codec_named(name).name


@dataclasses.dataclass(frozen=True)
class StateCodec:
    """How a state is kept.

    Attributes:
      policy: the codec of each field.
      block_size: numbers that share a scale; None for each codec's own.
      min_size: arrays of fewer numbers stay as they are.
    """

    policy: StatePolicy
    block_size: int | None
    min_size: int

    def narrowed(self, state: Any, params: Params) -> Any:
        """The state as it is kept."""
        find = ParameterPaths(params).find

        def leaf(path: Any, x: jax.Array) -> Any:
            found = find(path, x.shape)
            name = found and self.policy.choice(found.field)
            real = jnp.issubdtype(x.dtype, jnp.floating)
            if found is None or name is None or x.size < self.min_size or not real:
                return x
            if name == BFLOAT16:
                return x.astype(BFLOAT16)
            x = jnp.asarray(x, core.compute_dtype(x))
            codes, scales = linalg.encode(x, *self._of(found.field))
            return QuantizedArray(_placed_like(codes, x), scales)

        return tree_map_with_path(leaf, state)

    def widened(self, state: Any, params: Params) -> Any:
        """The state as the inner optimizer sees it."""
        find = ParameterPaths(params).find

        def leaf(path: Any, x: Any) -> Any:
            if not is_quantized(x):
                found = find(path, x.shape)
                narrow = found and self.policy.choice(found.field) == BFLOAT16 == x.dtype
                return x.astype(jnp.float32) if narrow else x
            found = find(path, None)
            if found is None:
                raise ValueError("quantize_state: the state was made for other parameters")
            return linalg.decode(x.codes, x.scales, *self._of(found.field), found.parameter.shape)

        return tree_map_with_path(leaf, state, is_leaf=is_quantized)

    def _of(self, field: str) -> tuple[linalg.Codec, int]:
        codec = linalg.codec_named(str(self.policy.choice(field)), field not in NOT_NEGATIVE)
        return codec, self.block_size or codec.block_size


def written_after_params(state: Any, updates: Updates, params: Params) -> Any:
    """A state whose codes are written once the parameters have moved, which read the old ones."""
    moved = jax.tree.map(_sum, updates, params, is_leaf=core.is_none)
    find = ParameterPaths(moved).find

    def leaf(path: Any, x: Any) -> Any:
        found = find(path, None) if is_quantized(x) else None
        if found is None:
            return x
        return x._replace(codes=core.written_after(x.codes, found.parameter))

    return tree_map_with_path(leaf, state, is_leaf=is_quantized)


def _sum(u: Any, p: jax.Array) -> Any:
    return None if u is None else p + u


def _placed_like(codes: jax.Array, x: jax.Array) -> jax.Array:
    """The codes, outside of a program, sharded like the numbers that they stand for."""
    if codes.shape != x.shape or isinstance(x, Tracer):
        return codes
    return jax.device_put(codes, x.sharding)
