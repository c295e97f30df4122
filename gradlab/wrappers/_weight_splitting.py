"""Narrow parameters with eight more bits each: error-corrected pairs."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gradlab import core, linalg
from gradlab.core import Params, Transform, Updates
from gradlab.optimizers.momentum import sgd
from gradlab.wrappers._parameter_mode import ParameterMode


class WeightSplittingState(NamedTuple):
    """State of `weight_splitting`.

    Attributes:
      inner_state: that of the inner optimizer.
      correction: what each narrow parameter lacks, in int8; None for all others.
    """

    inner_state: Any
    correction: Any


class WeightSplitting(ParameterMode):
    """Keeps the remainder of each rounding in eight bits."""

    def init(self, params: Params) -> WeightSplittingState:
        memories = self.memories(params)
        return WeightSplittingState(self.inner.rule.init(self.widened(params, memories)), memories)

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, WeightSplittingState]:
        kept = state.correction
        updates, inner_state, correction = self.landed(updates, state, params, kept, **extra)
        return updates, WeightSplittingState(inner_state, correction)

    def memory(self, p: jax.Array) -> jax.Array:
        return jnp.zeros_like(p, jnp.int8)

    def seen(self, p: jax.Array, memory: Any, dtype: Any) -> jax.Array:
        return linalg.join(p, memory, dtype)

    def land(self, p: jax.Array, u: jax.Array, memory: Any, dtype: Any) -> tuple[jax.Array, Any]:
        return linalg.split(linalg.join(p, memory, dtype) + u, dtype)


def weight_splitting(inner: optax.GradientTransformation) -> Transform:
    r"""Keeps, beside each float16 or bfloat16 parameter, eight more bits of it.

    $$w = \theta + \frac{\rho}{127}\,h(\theta),\quad \theta \leftarrow
    \mathrm{round}(w + u),\quad
    \rho \leftarrow \mathrm{round}\Big(127\,\frac{w + u - \theta}{h(\theta)}\Big)$$

    where h is half the distance between neighbours of θ, so that ρ fits into an int8: an
    error-corrected pair of 24 bits in the place of a float32 master copy. Parameters of
    other dtypes move as if there were no wrapper, and the compiled program is that of
    `inner`.

    Args:
      inner: any optimizer, whose step is u. It sees w, and keeps its state, in float32; so
        do a `grad_fn` and a `value_fn` that it calls.

    Returns:
      The optimizer. Its updates are float32; `optax.apply_updates` brings them into the
      dtype of the parameters. It has to be the last link of a chain. State: that of `inner`
      and one byte for each narrow parameter.

    Raises:
      TypeError: `inner` is no transformation.
      ValueError: no parameters.

    References:
      Gonzalez Ortiz, Gupta, Renard and Blalock, "FlashOptim: Optimizers for Memory Efficient
      Training", arXiv:2602.23349v1, section 3.1.

    Differs:
      Steps below about 2^-16 of a bfloat16 parameter are lost, as in the paper. Derivatives
      do not pass through ρ.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> opt, p = gl.weight_splitting(gl.sgd(1e-3)), jnp.ones(1, jnp.bfloat16)
      >>> updates, state = opt.update(jnp.ones_like(p), opt.init(p), p)
      >>> float(gl.apply_updates(p, updates)[0]), int(state.correction[0])
      (1.0, -33)
    """
    inner = core.adopt_transform(inner, "weight_splitting")
    return core.build(WeightSplitting, "weight_splitting", inner=inner)


WeightSplitting.public = staticmethod(weight_splitting)

ENTRY = core.Entry(
    weight_splitting,
    formula="w = p + rho * half_unit(p) / 127; p, rho = split(w + inner(g))",
    paper=("gonzalez2026flashoptim",),
    example={"inner": sgd(0.01)},
    search_space={"learning_rate": (1e-3, 1.0, "log")},
)
