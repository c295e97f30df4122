"""A float32 copy of narrow parameters, which is what is really trained."""

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


class MasterWeightsState(NamedTuple):
    """State of `master_weights`.

    Attributes:
      inner_state: that of the inner optimizer.
      master: each narrow parameter in float32; None for all others.
    """

    inner_state: Any
    master: Any


class MasterWeights(ParameterMode):
    """Steps in float32, and shows each result in the parameter's dtype."""

    def init(self, params: Params) -> MasterWeightsState:
        memories = self.memories(params)
        return MasterWeightsState(self.inner.rule.init(self.widened(params, memories)), memories)

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, MasterWeightsState]:
        updates, inner_state, master = self.landed(updates, state, params, state.master, **extra)
        return updates, MasterWeightsState(inner_state, master)

    def memory(self, p: jax.Array) -> jax.Array:
        return jnp.asarray(p, jnp.float32)

    def seen(self, p: jax.Array, memory: Any, dtype: Any) -> jax.Array:
        return memory

    def land(self, p: jax.Array, u: jax.Array, memory: Any, dtype: Any) -> tuple[jax.Array, Any]:
        master = memory + u
        return round_to_nearest(master, dtype), master


def master_weights(inner: optax.GradientTransformation) -> Transform:
    r"""Trains a float32 copy of each float16 or bfloat16 parameter, and rounds it.

    $$w \leftarrow w + u(w),\quad \theta \leftarrow \mathrm{round}(w)$$

    Parameters of other dtypes move as if there were no wrapper, and the compiled program is
    that of `inner`. A change of θ from outside is undone by the next step: what counts is w.

    Args:
      inner: any optimizer, whose step is u. It sees the copy w, and keeps its state, in
        float32; so do a `grad_fn` and a `value_fn` that it calls.

    Returns:
      The optimizer. Its updates are float32; `optax.apply_updates` brings them into the
      dtype of the parameters. It has to be the last link of a chain. State: that of `inner`
      and 1 × narrow params, in float32.

    Raises:
      TypeError: `inner` is no transformation.
      ValueError: no parameters.

    References:
      Micikevicius, Narang, Alben, Diamos, Elsen, Garcia, Ginsburg, Houston, Kuchaiev,
      Venkatesh and Wu, "Mixed Precision Training", arXiv:1710.03740v3, section 3.1.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> opt, p = gl.master_weights(gl.sgd(1e-3)), jnp.ones(1, jnp.bfloat16)
      >>> updates, state = opt.update(jnp.ones_like(p), opt.init(p), p)
      >>> float(gl.apply_updates(p, updates)[0]), float(state.master[0])
      (1.0, 0.9990000128746033)
    """
    inner = core.adopt_transform(inner, "master_weights")
    return core.build(MasterWeights, "master_weights", inner=inner)


MasterWeights.public = staticmethod(master_weights)

ENTRY = core.Entry(
    master_weights,
    formula="w += inner(g); p = round(w)",
    paper=("micikevicius2017mixed",),
    example={"inner": sgd(0.01)},
    search_space={"learning_rate": (1e-3, 1.0, "log")},
)
