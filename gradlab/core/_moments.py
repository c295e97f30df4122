"""Exponential averages and their bias corrections."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax


def average(old: jax.Array, new: jax.Array, decay: Any) -> jax.Array:
    """One step of an exponential average: `(1 - decay) new + decay old`."""
    return (1 - decay) * new + decay * old


def bias_correction(decay: Any, count: Any) -> jax.Array:
    """The weight that an average has collected after `count` steps: `1 - decay**count`.

    An integer power, so that value and derivative are finite on `[0, 1]` for every count.
    """
    if not isinstance(decay, float):
        decay = jnp.asarray(decay, jnp.result_type(float))
    return _bias_correction(decay, count)


@functools.partial(jax.jit, inline=True)
def _bias_correction(decay: Any, count: Any) -> jax.Array:
    # Compiled as a whole, also when called eagerly: XLA's power differs by a bit from
    # its power followed by a rounding, and 1 - 0.999**3 makes 2e-5 of that bit.
    return 1 - decay**count


def debias(mean: jax.Array, decay: Any, count: Any) -> jax.Array:
    """The average divided by the weight it has collected."""
    return mean / jnp.asarray(bias_correction(decay, count), jnp.finfo(mean.dtype).dtype)


def look_ahead(mean: jax.Array, new: jax.Array, decay: Any, count: Any) -> jax.Array:
    """The debiased average of the next step, with the present value in place of the next.

    This is what `nesterov` means for averages: the average already holds `new`, and takes
    it in once more.
    """
    ahead = debias(mean, decay, optax.safe_increment(count))
    return average(ahead, debias(new, decay, count), decay)


def debias_mean(
    mean: jax.Array, new: jax.Array, decay: Any, count: Any, nesterov: bool
) -> jax.Array:
    """The debiased average of gradients: of this step or, with `nesterov`, of the next."""
    return look_ahead(mean, new, decay, count) if nesterov else debias(mean, decay, count)


def accumulate(
    old: jax.Array, new: jax.Array, decay: Any, nesterov: bool = False
) -> tuple[jax.Array, jax.Array]:
    """One step of heavy-ball momentum: the step to take, and the new trace.

    The trace is a sum, `new + decay old`, not an average. With `nesterov` the step takes
    in `new` once more.
    """
    trace = new + decay * old
    return (new + decay * trace if nesterov else trace), trace
