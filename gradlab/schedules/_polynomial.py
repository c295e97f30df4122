"""Constant, linear and polynomial schedules."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import Scalar, hyper


class Constant(core.Schedule):
    """The same number at every step."""

    value: Scalar = hyper()

    def __call__(self, count: Any) -> Any:
        del count
        return self.value


class Polynomial(core.Schedule):
    """From one value to another along a power of the remaining time."""

    init_value: Scalar = hyper()
    end_value: Scalar = hyper()
    power: Scalar = hyper("[0, inf)", default=1.0)
    transition_steps: Scalar = hyper()
    transition_begin: Scalar = hyper(default=0.0)

    def __call__(self, count: Any) -> Any:
        fraction = remaining(count - jnp.maximum(self.transition_begin, 0), self.transition_steps)
        return (self.init_value - self.end_value) * fraction**self.power + self.end_value


class Linear(core.Schedule):
    """From one value to another along a line."""

    init_value: Scalar = hyper()
    end_value: Scalar = hyper()
    transition_steps: Scalar = hyper()
    transition_begin: Scalar = hyper(default=0.0)

    def __call__(self, count: Any) -> Any:
        steps, begin = self.transition_steps, self.transition_begin
        return linear(self.init_value, self.end_value, count, steps, begin)


def remaining(count: Any, steps: Any) -> jax.Array:
    """The share of `steps` that is still to come, 1 throughout if there are none."""
    steps = jnp.maximum(jnp.asarray(steps, jnp.result_type(float)), 0)
    return 1 - core.divide(jnp.clip(count, 0, steps), steps)


def linear(init_value: Any, end_value: Any, count: Any, steps: Any, begin: Any = 0) -> jax.Array:
    """The line from one value to the other, constant before and after."""
    fraction = remaining(count - jnp.maximum(begin, 0), steps)
    return (init_value - end_value) * fraction + end_value


@core.builds(Constant)
def constant_schedule(value: Scalar):
    """The same number at every step.

    Args:
      value: the number.

    Returns:
      The schedule.
    """


@core.builds(Polynomial)
def polynomial_schedule(
    init_value: Scalar,
    end_value: Scalar,
    power: Scalar,
    transition_steps: Scalar,
    transition_begin: Scalar = 0,
):
    """A power of the remaining time between two constants.

    `(init_value - end_value) * (1 - t / transition_steps)**power + end_value`, where t
    counts from `transition_begin`.

    Args:
      init_value: value before the transition.
      end_value: value after it.
      power: exponent, in [0, inf).
      transition_steps: length [steps]; without any the value stays `init_value`.
      transition_begin: first step of the transition [steps].

    Returns:
      The schedule.
    """


@core.builds(Linear)
def linear_schedule(
    init_value: Scalar, end_value: Scalar, transition_steps: Scalar, transition_begin: Scalar = 0
):
    """A straight line between two constants.

    Args:
      init_value: value before the transition.
      end_value: value after it.
      transition_steps: length [steps]; without any the value stays `init_value`.
      transition_begin: first step of the transition [steps].

    Returns:
      The schedule.

    Example:
      >>> import gradlab as gl
      >>> float(gl.linear_schedule(1.0, 0.0, 4)(1))
      0.75
    """


def warmup_constant_schedule(
    init_value: Scalar, peak_value: Scalar, warmup_steps: Scalar
) -> core.Schedule:
    """A straight line up to a constant.

    Args:
      init_value: value at the first step.
      peak_value: value from `warmup_steps` on.
      warmup_steps: length of the line [steps].

    Returns:
      The schedule, a linear one from `init_value` to `peak_value`.
    """
    return linear_schedule(init_value, peak_value, warmup_steps)
