"""State kept in 4, 8 or 16 bits a number between the steps of any optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import optax
from jax import lax

from gradlab import core
from gradlab.core import Params, Updates, static
from gradlab.optimizers.adaptive import adamw
from gradlab.wrappers._state_codec import StateCodec, codec_policy, written_after_params


class QuantizeStateState(NamedTuple):
    """State of `quantize_state`.

    Attributes:
      inner_state: that of the inner optimizer, with codes and scales, or a bfloat16 array, in
        the place of each array that is kept in few bits.
    """

    inner_state: Any


class QuantizeState(core.Wrapper):
    """Widens the state, steps, and narrows it again."""

    codec: Any = static(convert=codec_policy)
    block_size: int | None = static(convert=core.optional(core.count_at_least(1)))
    min_size: int = static(convert=core.count_at_least(0))

    @property
    def state_codec(self) -> StateCodec:
        return StateCodec(self.codec, self.block_size, self.min_size)

    def init(self, params: Params) -> QuantizeStateState:
        state = self.inner.rule.init(params)
        self.codec.check(self.owner(), "codec", state, params)
        # Zeros, as a rule, which XLA would encode itself, number by number, when it compiles.
        state = lax.optimization_barrier(state)
        return QuantizeStateState(self.state_codec.narrowed(state, params))

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, QuantizeStateState]:
        like = updates if params is None else params
        wide = self.widened(state.inner_state, like)
        updates, new = self.inner.rule.update(updates, wide, params, **extra)
        kept = self.state_codec.narrowed(core.keep_dtypes(new, wide), like)
        return updates, QuantizeStateState(kept)

    def widened(self, state: Any, params: Params) -> Any:
        """The inner state as the inner optimizer sees it."""
        return self.state_codec.widened(state, params)

    def in_order(self, state: Any, updates: Updates, params: Params | None) -> Any:
        if params is None:
            return state
        return QuantizeStateState(written_after_params(state.inner_state, updates, params))

    def eval_params(self, state: Any, params: Params) -> Params:
        return self.inner.rule.eval_params(self.widened(state.inner_state, params), params)


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
