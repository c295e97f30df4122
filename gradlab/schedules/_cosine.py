"""Cosine decay, alone and after a warm-up, once or several times."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import Scalar, hyper
from gradlab.schedules._join import join_schedules
from gradlab.schedules._polynomial import linear


class Cosine(core.Schedule):
    """Half a cosine from `init_value` to `alpha * init_value`."""

    init_value: Scalar = hyper()
    decay_steps: Scalar = hyper("(0, inf)")
    alpha: Scalar = hyper(default=0.0)
    exponent: Scalar = hyper("[0, inf)", default=1.0)

    def __call__(self, count: Any) -> Any:
        return self.init_value * half_cosine(count, self.decay_steps, self.alpha, self.exponent)


class WarmupCosine(core.Schedule):
    """A line up to the peak, then half a cosine down."""

    init_value: Scalar = hyper()
    peak_value: Scalar = hyper()
    warmup_steps: Scalar = hyper("[0, inf)")
    decay_steps: Scalar = hyper("(0, inf)")
    end_value: Scalar = hyper(default=0.0)
    exponent: Scalar = hyper("[0, inf)", default=1.0)

    def __call__(self, count: Any) -> Any:
        rising = linear(self.init_value, self.peak_value, count, self.warmup_steps)
        peak = jnp.asarray(self.peak_value, jnp.result_type(float))
        alpha = core.divide(self.end_value, peak)
        steps = self.decay_steps - self.warmup_steps
        falling = peak * half_cosine(count - self.warmup_steps, steps, alpha, self.exponent)
        return jnp.where(count < self.warmup_steps, rising, falling)


def half_cosine(count: Any, steps: Any, alpha: Any, exponent: Any) -> jax.Array:
    """From 1 to `alpha` in `steps`, and `alpha` after that."""
    count = jnp.minimum(jnp.asarray(count, jnp.result_type(float)), steps)
    cosine = 0.5 * (1 + jnp.cos(jnp.pi * count / steps))
    return (1 - alpha) * cosine**exponent + alpha


@core.builds(Cosine)
def cosine_decay_schedule(
    init_value: Scalar, decay_steps: Scalar, alpha: Scalar = 0.0, exponent: Scalar = 1.0
):
    """Half a cosine from `init_value` down to `alpha * init_value`.

    Args:
      init_value: value at the first step.
      decay_steps: length of the decay [steps], in (0, inf).
      alpha: final value as a share of the first.
      exponent: power that the cosine is raised to, in [0, inf).

    Returns:
      The schedule.

    Raises:
      ValueError: `decay_steps` is not positive.

    References:
      Loshchilov and Hutter, "SGDR", arXiv:1608.03983v5, equation 5.
    """


def warmup_cosine_decay_schedule(
    init_value: Scalar,
    peak_value: Scalar,
    warmup_steps: Scalar,
    decay_steps: Scalar,
    end_value: Scalar = 0.0,
    exponent: Scalar = 1.0,
) -> core.Schedule:
    """A line from `init_value` to `peak_value`, then half a cosine to `end_value`.

    Args:
      init_value: value at the first step.
      peak_value: value at the end of the warm-up.
      warmup_steps: length of the line [steps], in [0, inf).
      decay_steps: length of warm-up and decay together [steps], above `warmup_steps`.
      end_value: value after `decay_steps`.
      exponent: power that the cosine is raised to, in [0, inf).

    Returns:
      The schedule.

    Raises:
      ValueError: `decay_steps` is not above `warmup_steps`.

    Example:
      >>> import gradlab as gl
      >>> gl.warmup_cosine_decay_schedule(0.0, 1e-3, 10, 100).peak_value
      0.001
    """
    steps = (warmup_steps, decay_steps)
    if all(isinstance(s, int | float) for s in steps) and not decay_steps > warmup_steps:
        raise ValueError(
            f"warmup_cosine_decay_schedule: decay_steps={decay_steps} has to be above "
            f"warmup_steps={warmup_steps}"
        )
    return core.build(
        WarmupCosine,
        init_value=init_value,
        peak_value=peak_value,
        warmup_steps=warmup_steps,
        decay_steps=decay_steps,
        end_value=end_value,
        exponent=exponent,
    )


WarmupCosine.public = staticmethod(warmup_cosine_decay_schedule)


def sgdr_schedule(cosine_kwargs: Iterable[dict[str, Any]]) -> core.Schedule:
    """Several warm-up cosine schedules, one after the other.

    Args:
      cosine_kwargs: for each the arguments of `warmup_cosine_decay_schedule`.

    Returns:
      The schedule.

    References:
      Loshchilov and Hutter, "SGDR", arXiv:1608.03983v5.
    """
    parts, boundaries, step = [], [], 0
    for kwargs in cosine_kwargs:
        parts.append(warmup_cosine_decay_schedule(**kwargs))
        step += kwargs["decay_steps"]
        boundaries.append(step)
    return join_schedules(parts, boundaries[:-1])
