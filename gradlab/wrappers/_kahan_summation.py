"""Kahan summation of steps into narrow parameters."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import Params, Transform, Updates
from gradlab.linalg import round_to_nearest
from gradlab.optimizers.momentum import sgd
from gradlab.wrappers._parameter_mode import ParameterMode


class KahanSummationState(NamedTuple):
    """State of `kahan_summation`.

    Attributes:
      inner_state: that of the inner optimizer.
      compensation: what rounding has cut off so far, in the dtype of each narrow parameter;
        None for all others.
    """

    inner_state: Any
    compensation: Any


class KahanSummation(ParameterMode):
    """Adds to each step what rounding cut off the steps before."""

    def init(self, params: Params) -> KahanSummationState:
        memories = self.memories(params)
        return KahanSummationState(self.inner.rule.init(self.widened(params, memories)), memories)

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, KahanSummationState]:
        kept = state.compensation
        updates, inner_state, compensation = self.landed(updates, state, params, kept, **extra)
        return updates, KahanSummationState(inner_state, compensation)

    def memory(self, p: jax.Array) -> jax.Array:
        return jnp.zeros_like(p)

    def seen(self, p: jax.Array, memory: Any, dtype: Any) -> jax.Array:
        return p + memory.astype(jnp.float32)

    def land(self, p: jax.Array, u: jax.Array, memory: Any, dtype: Any) -> tuple[jax.Array, Any]:
        step = u + memory.astype(jnp.float32)
        value = round_to_nearest(p + step, dtype)
        return value, (step - (value - p)).astype(dtype)


def kahan_summation(inner: optax.GradientTransformation) -> Transform:
    r"""Keeps what rounding cuts off each float16 or bfloat16 parameter, and adds it next time.

    $$y = u + c,\quad \theta' = \mathrm{round}(\theta + y),\quad
    c \leftarrow y - (\theta' - \theta),\quad \theta \leftarrow \theta'$$

    Parameters of other dtypes move as if there were no wrapper, and the compiled program is
    that of `inner`.

    Args:
      inner: any optimizer, whose step is u. It sees θ + c, and keeps its state, in float32;
        so do a `grad_fn` and a `value_fn` that it calls.

    Returns:
      The optimizer. Its updates are float32; `optax.apply_updates` brings them into the
      dtype of the parameters. It has to be the last link of a chain. State: that of `inner`
      and 1 × narrow params, in their dtype.

    Raises:
      TypeError: `inner` is no transformation.
      ValueError: no parameters.

    References:
      Zamirai, Zhang, Aberger and De Sa, "Revisiting BFloat16 Training",
      arXiv:2010.06192v2, Algorithm 1.

    Differs:
      The paper computes steps and sums in 16 bits; here they are float32, and only θ and c
      are rounded.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> opt, p = gl.kahan_summation(gl.sgd(1e-3)), jnp.ones(1, jnp.bfloat16)
      >>> state = opt.init(p)
      >>> for _ in range(16):
      ...     updates, state = opt.update(jnp.ones_like(p), state, p)
      ...     p = gl.apply_updates(p, updates)
      >>> float(p[0])
      0.984375
    """
    inner = core.adopt_transform(inner, "kahan_summation")
    return core.build(KahanSummation, "kahan_summation", inner=inner)


KahanSummation.public = staticmethod(kahan_summation)

ENTRY = core.Entry(
    kahan_summation,
    formula="y = inner(g) + c; q = round(p + y); c = y - (q - p); p = q",
    paper=("zamirai2020revisiting",),
    example={"inner": sgd(0.01)},
    search_space={"learning_rate": (1e-3, 1.0, "log")},
    traits=core.Traits(narrow_state="The compensation has the dtype of its parameter."),
)
