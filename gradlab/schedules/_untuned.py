"""Schedules that follow from Adam's second moment alone, and one for that moment itself."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import Scalar, ScalarOrSchedule, hyper, static

MOST_WAITED = 32
"""Steps that RAdam waits at most; for a b2 above 0.8 there are fewer than 5."""


class UntunedWarmup(core.Schedule):
    """A warm-up as long as Adam's second moment needs."""

    peak_value: ScalarOrSchedule = hyper()
    b2: Scalar = hyper("[0, 1)")
    kind: str = static(convert=core.one_of("linear", "exponential", "radam"))

    def present(self) -> Any:
        if self.kind == "radam" and isinstance(self.b2, float) and self.b2 <= 0.6:
            raise ValueError(
                f"untuned_warmup_schedule: b2={self.b2} is not above 0.6, as kind='radam' needs"
            )
        return self

    def __call__(self, count: Any) -> jax.Array:
        step = jnp.asarray(count, jnp.result_type(float)) + 1
        peak = jnp.asarray(core.at(self.peak_value, count))
        return peak * getattr(self, f"_{self.kind}")(step)

    def _linear(self, step: jax.Array) -> jax.Array:
        return jnp.minimum(1.0, (1 - self.b2) / 2 * step)

    def _exponential(self, step: jax.Array) -> jax.Array:
        return -jnp.expm1(-(1 - self.b2) * step)

    def _radam(self, step: jax.Array) -> jax.Array:
        limit = 2 / (1 - self.b2) - 1
        waited = jnp.sum(self._samples(jnp.arange(1.0, MOST_WAITED)) <= 4)
        rho = self._samples(step + waited)
        square = (rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho)
        return core.sqrt(square)

    def _samples(self, step: jax.Array) -> jax.Array:
        """RAdam's ρ, to full precision: b2**t / (1 - b2**t) is 1 / expm1(-t log b2)."""
        rate = -jnp.log1p(jnp.asarray(self.b2 - 1, step.dtype))
        limit = jnp.asarray(2 / (1 - self.b2) - 1, step.dtype)
        return limit - 2 * step / jnp.expm1(step * rate)


class PalmB2(core.Schedule):
    """One minus a power of the number of steps."""

    exponent: Scalar = hyper("[0, inf)")

    def __call__(self, count: Any) -> jax.Array:
        step = jnp.asarray(count, jnp.result_type(float)) + 1
        return 1 - step**-self.exponent


@core.builds(UntunedWarmup)
def untuned_warmup_schedule(peak_value: ScalarOrSchedule, b2: Scalar = 0.999, kind: str = "linear"):
    r"""A warm-up for Adam that follows from its b2, with no length to choose.

    With t = 1 at the first step, the peak is multiplied by

    - `"linear"`: $\min(1, t\,(1-\beta_2) / 2)$, a line over 2 / (1 - β₂) steps;
    - `"exponential"`: $1 - e^{-(1-\beta_2)\,t}$, about as long;
    - `"radam"`: RAdam's factor, from the first step on at which it is defined.

    Args:
      peak_value: learning rate after the warm-up, or a schedule of it.
      b2: the decay of Adam's average of squared gradients, in [0, 1); for `"radam"` above 0.6.
      kind: which of the three.

    Returns:
      The schedule.

    Raises:
      ValueError: another kind, or `b2` outside its range.

    References:
      Ma and Yarats, "On the adequacy of untuned warmup for adaptive optimization",
      arXiv:1910.04209; `RAdamWarmup` of pytorch_warmup (the first step of `"radam"`).

    Differs:
      The line has 2 / (1 - β₂) steps, not the integer below that.

    Example:
      >>> import gradlab as gl
      >>> warm = gl.untuned_warmup_schedule(1e-3, b2=0.99)
      >>> [round(float(warm(t)) * 1e3, 3) for t in (0, 99, 199, 500)]
      [0.005, 0.5, 1.0, 1.0]
    """


@core.builds(PalmB2)
def palm_b2_schedule(exponent: Scalar = 0.8):
    r"""A decay of second moments that remembers more as the run goes on.

    $$\beta_2 = 1 - t^{-c}$$

    with t = 1 at the first step, where the average is the first squared gradient, so that no
    bias is to be corrected. It goes where a decay may depend on the step, as in
    `gl.inject_hyperparams(gl.scale_by_rms)(decay=gl.palm_b2_schedule())`.

    Args:
      exponent: c, in [0, inf).

    Returns:
      The schedule.

    Raises:
      ValueError: `exponent` outside its range.

    References:
      Chowdhery et al., "PaLM: Scaling Language Modeling with Pathways", arXiv:2204.02311;
      Shazeer and Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost",
      arXiv:1804.04235, section 7.

    Example:
      >>> import gradlab as gl
      >>> [round(float(gl.palm_b2_schedule()(t)), 3) for t in (0, 9, 999)]
      [0.0, 0.842, 0.996]
    """
