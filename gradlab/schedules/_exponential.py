"""Exponential decay, alone and after a warm-up."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import Scalar, hyper, static
from gradlab.schedules._polynomial import linear


class Exponential(core.Schedule):
    """A constant factor for every `transition_steps` steps."""

    init_value: Scalar = hyper()
    transition_steps: Scalar = hyper()
    decay_rate: Scalar = hyper("[0, inf)")
    transition_begin: Scalar = hyper(default=0.0)
    staircase: bool = static(default=False, convert=core.flag)
    end_value: Scalar | None = hyper(default=None)

    def __call__(self, count: Any) -> jax.Array:
        return self.decayed(self.init_value, count)

    def decayed(self, start: Any, count: Any) -> jax.Array:
        """The decay from `start`."""
        rate = jnp.asarray(self.decay_rate, jnp.result_type(float))
        steps = jnp.asarray(self.transition_steps, rate.dtype)
        waited = count - jnp.maximum(self.transition_begin, 0)
        # Without steps or with a zero rate the value is constant, as in optax.
        constant = (steps <= 0) | (rate == 0)
        power = jnp.maximum(waited, 0) / jnp.where(constant, 1, steps)
        if self.staircase:
            power = jnp.floor(power)
        value = start * jnp.where(constant, 1, jnp.where(constant, 1, rate) ** power)
        if self.end_value is None:
            return value
        bounded = jnp.where(
            rate < 1, jnp.maximum(value, self.end_value), jnp.minimum(value, self.end_value)
        )
        return jnp.where(constant, value, bounded)


class WarmupExponential(Exponential):
    """A line up to the peak, then exponential decay."""

    peak_value: Scalar = hyper()
    warmup_steps: Scalar = hyper("[0, inf)")

    def __call__(self, count: Any) -> jax.Array:
        rising = linear(self.init_value, self.peak_value, count, self.warmup_steps)
        falling = self.decayed(self.peak_value, count - self.warmup_steps)
        return jnp.where(count < self.warmup_steps, rising, falling)


@core.builds(Exponential)
def exponential_decay(
    init_value: Scalar,
    transition_steps: Scalar,
    decay_rate: Scalar,
    transition_begin: Scalar = 0,
    staircase: bool = False,
    end_value: Scalar | None = None,
):
    """Decay by a constant factor: `init_value * decay_rate**(t / transition_steps)`.

    Args:
      init_value: value at the start.
      transition_steps: steps for one factor [steps].
      decay_rate: the factor, in [0, inf); zero keeps the value constant.
      transition_begin: first step of the decay [steps].
      staircase: whether the exponent only takes whole numbers.
      end_value: bound that the value does not pass.

    Returns:
      The schedule.
    """


@core.builds(WarmupExponential)
def warmup_exponential_decay_schedule(
    init_value: Scalar,
    peak_value: Scalar,
    warmup_steps: Scalar,
    transition_steps: Scalar,
    decay_rate: Scalar,
    transition_begin: Scalar = 0,
    staircase: bool = False,
    end_value: Scalar | None = None,
):
    """A line from `init_value` to `peak_value`, then exponential decay.

    Args:
      init_value: value at the first step.
      peak_value: value at the end of the warm-up.
      warmup_steps: length of the line [steps], in [0, inf).
      transition_steps: steps for one factor [steps].
      decay_rate: the factor, in [0, inf).
      transition_begin: steps between the warm-up and the decay [steps].
      staircase: whether the exponent only takes whole numbers.
      end_value: bound that the value does not pass.

    Returns:
      The schedule.
    """
