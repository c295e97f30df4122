"""Stochastic rounding of narrow parameters."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import Params, Transform, Updates, static
from gradlab.linalg import round_stochastically
from gradlab.optimizers.momentum import sgd
from gradlab.wrappers._parameter_mode import ParameterMode, is_narrow


class StochasticRoundingState(NamedTuple):
    """State of `stochastic_rounding`.

    Attributes:
      inner_state: that of the inner optimizer.
      key: the random key, as raw words; None where no parameter is narrow.
    """

    inner_state: Any
    key: Any


class StochasticRounding(ParameterMode):
    """Rounds the sum of a narrow parameter and its step at random."""

    key: int | tuple[int, ...] | None = static(convert=core.seed_or_words)

    def init(self, params: Params) -> StochasticRoundingState:
        narrow = any(map(is_narrow, jax.tree.leaves(params)))
        inner_state = self.inner.rule.init(self.widened(params, self.memories(params)))
        return StochasticRoundingState(inner_state, core.initial_key(self.key) if narrow else None)

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, StochasticRoundingState]:
        key, bits = state.key, self.memories(params)
        if key is not None:
            key, sample = jax.random.split(key)
            bits = _random_bits(sample, params)
        updates, inner_state, _ = self.landed(updates, state, params, bits, **extra)
        return updates, StochasticRoundingState(inner_state, key)

    def land(self, p: jax.Array, u: jax.Array, memory: Any, dtype: Any) -> tuple[jax.Array, Any]:
        return round_stochastically(p + u, dtype, memory), memory


def _random_bits(key: jax.Array, params: Params) -> Any:
    """A random word for each number of a narrow parameter."""
    leaves, treedef = jax.tree.flatten(params)
    keys = jax.random.split(core.fusible(key), len(leaves))
    bits = [
        jax.random.bits(k, jnp.shape(p), jnp.uint32) if is_narrow(p) else None
        for k, p in zip(keys, leaves, strict=True)
    ]
    return treedef.unflatten(bits)


def stochastic_rounding(
    inner: optax.GradientTransformation, key: jax.Array | int | tuple[int, ...]
) -> Transform:
    r"""Rounds each new float16 or bfloat16 parameter up or down at random, without bias.

    $$\theta \leftarrow \mathrm{SR}(\theta + u),\quad \mathrm{SR}(x) = \lceil x \rceil
    \text{ with probability } \frac{x - \lfloor x \rfloor}{\lceil x \rceil - \lfloor x \rfloor},
    \text{ else } \lfloor x \rfloor$$

    where the brackets are the neighbours of x in the dtype of θ, and u is the step of
    `inner`, in float32. On average a parameter moves by u, however small it is. Parameters
    of other dtypes move as if there were no wrapper, and the compiled program is that of
    `inner`.

    Args:
      inner: any optimizer. It sees narrow parameters, and keeps its state, in float32; so
        do a `grad_fn` and a `value_fn` that it calls.
      key: a random key, or a seed. It decides the state's first key and so is no
        hyperparameter. The same key gives the same bits.

    Returns:
      The optimizer. Its updates are float32; `optax.apply_updates` brings them into the
      dtype of the parameters. It has to be the last link of a chain. State: that of `inner`
      and a key.

    Raises:
      TypeError: `inner` is no transformation, or the key is traced.
      ValueError: no parameters.

    References:
      Zamirai, Zhang, Aberger and De Sa, "Revisiting BFloat16 Training",
      arXiv:2010.06192v2, section 4.1.

    Differs:
      The probability is resolved to 2^-16 (bfloat16) or 2^-13 (float16). A number is not
      rounded to infinity unless the nearest rounding is infinite. The derivative is that of
      the expectation. Whether stochastic rounding helps is contested; see also
      `kahan_summation`, which does not add noise.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> opt = gl.stochastic_rounding(gl.sgd(1e-3), key=0)
      >>> p = jnp.ones(1000, jnp.bfloat16)
      >>> updates, _ = opt.update(jnp.ones_like(p), opt.init(p), p)
      >>> new = gl.apply_updates(p, updates)
      >>> sorted(set(new.tolist())), round(float(new.astype(float).mean()), 3)
      ([0.99609375, 1.0], 0.999)
    """
    inner = core.adopt_transform(inner, "stochastic_rounding")
    return core.build(StochasticRounding, "stochastic_rounding", inner=inner, key=key)


StochasticRounding.public = staticmethod(stochastic_rounding)

ENTRY = core.Entry(
    stochastic_rounding,
    formula="p = round_up_or_down_at_random(p + inner(g))",
    paper=("zamirai2020revisiting",),
    example={"inner": sgd(0.01), "key": 0},
    search_space={"learning_rate": (1e-3, 1.0, "log")},
    traits=core.Traits(stochastic=True),
)
