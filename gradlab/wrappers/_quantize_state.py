"""State kept in 4, 8 or 16 bits a number between the steps of any optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.core import Tracer
from jax.tree_util import tree_map_with_path

from gradlab import core, linalg
from gradlab.core import ParameterPaths, Params, Updates, static
from gradlab.optimizers.adaptive import adamw
from gradlab.wrappers._state_policy import StatePolicy

NOT_NEGATIVE = ("nu", "nu_max", "sum_of_squares", "e_g", "e_x", "n")
"""Fields of states that hold second moments."""

BFLOAT16 = "bfloat16"


class QuantizedArray(NamedTuple):
    """An array of a state in few bits: codes, and a scale for each block of them."""

    codes: Any
    scales: Any


class QuantizeStateState(NamedTuple):
    """State of `quantize_state`.

    Attributes:
      inner_state: that of the inner optimizer, with a `QuantizedArray`, or a bfloat16 array,
        in the place of each array that is kept in few bits.
    """

    inner_state: Any


def is_quantized(x: Any) -> bool:
    return isinstance(x, QuantizedArray)


def _codec(name: Any) -> str:
    return name if name == BFLOAT16 else linalg.codec_named(name).name


def _policy(value: Any) -> StatePolicy:
    return StatePolicy.of(value, _codec)


class QuantizeState(core.Wrapper):
    """Widens the state, steps, and narrows it again."""

    codec: Any = static(convert=_policy)
    block_size: int | None = static(convert=core.optional(core.count_at_least(1)))
    min_size: int = static(convert=core.count_at_least(0))

    def init(self, params: Params) -> QuantizeStateState:
        state = self.inner.rule.init(params)
        self.codec.check(self.owner(), "codec", state, params)
        return QuantizeStateState(self.narrowed(state, params))

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, QuantizeStateState]:
        like = updates if params is None else params
        wide = self.widened(state.inner_state, like)
        updates, new = self.inner.rule.update(updates, wide, params, **extra)
        new = jax.tree.map(lambda x, old: jnp.asarray(x, old.dtype), new, wide)
        return updates, QuantizeStateState(self.narrowed(new, like))

    def codec_of(self, field: str) -> linalg.Codec:
        """The codec with scales of a field."""
        return linalg.codec_named(self.codec.choice(field), field not in NOT_NEGATIVE)

    def narrowed(self, state: Any, params: Params) -> Any:
        """The state as it is kept."""
        find = ParameterPaths(params).find

        def leaf(path: Any, x: jax.Array) -> Any:
            found = find(path, x.shape)
            name = found and self.codec.choice(found.field)
            real = jnp.issubdtype(x.dtype, jnp.floating)
            if found is None or name is None or x.size < self.min_size or not real:
                return x
            if name == BFLOAT16:
                return x.astype(BFLOAT16)
            codec = self.codec_of(found.field)
            x = jnp.asarray(x, core.compute_dtype(x))
            codes, scales = linalg.encode(x, codec, self.block_size or codec.block_size)
            return QuantizedArray(_placed_like(codes, x), scales)

        return tree_map_with_path(leaf, state)

    def widened(self, state: Any, params: Params) -> Any:
        """The state as the inner optimizer sees it."""
        find = ParameterPaths(params).find

        def leaf(path: Any, x: Any) -> Any:
            if not is_quantized(x):
                found = find(path, x.shape)
                narrow = found and self.codec.choice(found.field) == BFLOAT16 == x.dtype
                return x.astype(jnp.float32) if narrow else x
            found = find(path, None)
            if found is None:
                raise ValueError(f"{self.owner()}: the state was made for other parameters")
            codec = self.codec_of(found.field)
            shape, block_size = found.parameter.shape, self.block_size or codec.block_size
            return linalg.decode(x.codes, x.scales, codec, block_size, shape)

        return tree_map_with_path(leaf, state, is_leaf=is_quantized)

    def in_order(self, state: Any, updates: Updates, params: Params | None) -> Any:
        # The update read the old codes, so that the new ones are written after the parameters.
        if params is None:
            return state
        moved = jax.tree.map(_sum, updates, params, is_leaf=core.is_none)
        find = ParameterPaths(moved).find

        def leaf(path: Any, x: Any) -> Any:
            found = find(path, None) if is_quantized(x) else None
            if found is None:
                return x
            return x._replace(codes=core.written_after(x.codes, found.parameter))

        return QuantizeStateState(tree_map_with_path(leaf, state.inner_state, is_leaf=is_quantized))

    def eval_params(self, state: Any, params: Params) -> Params:
        return self.inner.rule.eval_params(self.widened(state.inner_state, params), params)


def _sum(u: Any, p: jax.Array) -> Any:
    return None if u is None else p + u


def _placed_like(codes: jax.Array, x: jax.Array) -> jax.Array:
    """The codes, outside of a program, sharded like the numbers that they stand for."""
    if codes.shape != x.shape or isinstance(x, Tracer):
        return codes
    return jax.device_put(codes, x.sharding)


@core.builds(QuantizeState)
def quantize_state(
    inner: optax.GradientTransformation,
    codec: str | Mapping[str, str | None] | None = "int8",
    *,
    block_size: int | None = None,
    min_size: int = 4096,
):
    r"""Keeps the state of any optimizer in 4, 8 or 16 bits a number between its steps.

    $$s = \mathrm{decode}(c, a),\quad (u, s') = \mathrm{inner}(g, s),\quad
    a_j = \max_{i \in \mathrm{block}_j} |s'_i|,\quad
    c_i = \arg\min_k \Big|q_k - \frac{s'_i}{a_j}\Big|$$

    where q are the levels of the codec and decoding is c, a → q_c a. A step computes in
    float32, as without the wrapper; only what it leaves for the next one is rounded.

    Within a step each array is float32 for a while: one after the other where the compiler
    minds memory. XLA on CPU has to be told, or it widens all of them at once:
    `jax.jit(step, compiler_options={"xla_cpu_scheduler_type":
    "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"})`.

    What is kept in few bits are arrays that belong to a parameter: their path in the state ends
    with its path, and they have its shape. Counts, scalars, keys, factors, complex and small
    arrays stay as they are.

    Args:
      inner: any optimizer, of gradlab or optax.
      codec: how numbers are kept, for all fields of the state or by name:
        `{"mu": "int8", "nu": None}`, where None and fields that are not named stay as they are.
        `"int8"`: dynamic quantisation, 1.016 bytes a number. `"int4"`: dynamic quantisation,
        second moments linear without zero, 0.53 bytes. `"bfloat16"`: 2 bytes.
        `"float8_e4m3fn"`, `"float8_e5m2"`: floating-point numbers with block scales, 1.016
        bytes. The fields `nu`, `nu_max`, `sum_of_squares`, `e_g`, `e_x` and `n` are second
        moments, whose levels are all positive.
      block_size: numbers that share a scale, at least 1. None: 256, and 128 for `"int4"`.
      min_size: arrays of fewer numbers stay as they are, at least 0.

    Returns:
      The optimizer. State: that of `inner`, each array of a parameter in the bytes above.

    Raises:
      TypeError: `inner` is no transformation.
      ValueError: an unknown codec, a codec that the device does not have, a size outside its
        range; from `init`, a field that the state does not have.

    References:
      Dettmers, Lewis, Shleifer and Zettlemoyer, "8-bit Optimizers via Block-wise Quantization",
      arXiv:2110.02861. Li, Chen and Zhu, "Memory Efficient Optimizers with 4-bit States",
      arXiv:2309.01507v3 (4 bits).

    Differs:
      Blocks of 256, as bitsandbytes has them by now, where the paper has 2048. A second moment
      that is not zero is never rounded to zero: the next step would divide by it. In 4 bits,
      second moments are scaled by blocks, not by rows and columns. Embeddings are not left out;
      to do so, use `partition`. The paper's stable embedding layer is part of a model.
      Derivatives are those of the piecewise smooth function that is computed: codes are
      constants, and what passes from step to step passes through scales (bfloat16: as if there
      were no rounding). A block that holds a number that is not finite is lost. A difference of
      two averages, as in centred RMSProp, may change its sign by rounding.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> opt = gl.quantize_state(gl.adamw(1e-3))
      >>> state = opt.init(jnp.ones((128, 64)))
      >>> state.inner_state[0].mu.codes.dtype, state.inner_state[0].mu.scales.shape
      (dtype('uint8'), (32,))
    """


ENTRY = core.Entry(
    quantize_state,
    formula="state = decode(kept); u, state = inner(g, state); kept = encode(state)",
    paper=("M080", "li2023memory"),
    example={"inner": adamw(0.01)},
    search_space={"learning_rate": (1e-4, 1e-1, "log")},
    traits=core.Traits(
        temporaries="The largest size of a block is known once all of it has been computed, and "
        "XLA on CPU stores the new state in float32 until then.",
    ),
)
