"""Schedules given by factors at boundaries, and one-cycle schedules made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradlab import core
from gradlab.core import Scalar, hyper, static


class Piecewise(core.Schedule):
    """Factors at boundaries: in jumps, along lines or along cosines."""

    init_value: Scalar = hyper()
    boundaries: tuple[Scalar, ...] = hyper("[0, inf)")
    scales: tuple[Scalar, ...] = hyper("[0, inf)")
    interpolate_type: str = static(default="none", convert=core.one_of("none", "linear", "cosine"))

    def __call__(self, count: Any) -> jax.Array:
        if self.interpolate_type == "none":
            value = jnp.asarray(self.init_value, jnp.result_type(float))
            for boundary, scale in zip(self.boundaries, self.scales, strict=True):
                value = jnp.where(count < boundary, value, scale * value)
            return value
        return interpolate(
            self.interpolate_type, self.init_value, self.boundaries, self.scales, count
        )

    def __repr__(self) -> str:
        knots = dict(zip(self.boundaries, self.scales, strict=True))
        constant = self.interpolate_type == "none"
        name = "piecewise_constant" if constant else "piecewise_interpolate"
        kind = "" if constant else f"interpolate_type={self.interpolate_type!r}, "
        arguments = f"{kind}init_value={self.init_value!r}, boundaries_and_scales={knots!r}"
        return f"{name}_schedule({arguments})"


def interpolate(kind: str, start: Any, boundaries: tuple, scales: tuple, count: Any) -> jax.Array:
    """Values multiplied by a factor at each boundary, joined by lines or half cosines."""
    dtype = jnp.result_type(float)
    bounds = jnp.stack([jnp.asarray(b, dtype) for b in (0.0, *boundaries)])
    values = jnp.cumprod(jnp.stack([jnp.asarray(v, dtype) for v in (start, *scales)]))
    sizes = jnp.maximum(bounds[1:] - bounds[:-1], 1)
    share = (count - bounds[:-1]) / sizes
    low, high = values[:-1], values[1:]
    if kind == "linear":
        between = (high - low) * share + low
    else:
        between = high + (low - high) / 2 * (jnp.cos(jnp.pi * share) + 1)
    here = (bounds[:-1] <= count) & (count < bounds[1:])
    return jnp.sum(jnp.where(here, between, 0)) + (bounds[-1] <= count) * values[-1]


class OneCycle(core.Schedule):
    """A rise to the peak and a fall far below the start."""

    transition_steps: Scalar = hyper("(0, inf)")
    peak_value: Scalar = hyper()
    pct_start: Scalar = hyper("[0, 1]")
    pct_final: Scalar | None = hyper("[0, 1]", default=None)
    div_factor: Scalar = hyper("(0, inf)")
    final_div_factor: Scalar = hyper("(0, inf)")

    def __call__(self, count: Any) -> jax.Array:
        start = self.peak_value / self.div_factor
        rise = (whole_steps(self.pct_start, self.transition_steps), self.div_factor)
        if self.pct_final is None:
            last = (self.transition_steps, 1 / (self.div_factor * self.final_div_factor))
            knots, kind = (rise, last), "cosine"
        else:
            fall = (whole_steps(self.pct_final, self.transition_steps), 1 / self.div_factor)
            last = (self.transition_steps, 1 / self.final_div_factor)
            knots, kind = (rise, fall, last), "linear"
        boundaries, scales = zip(*knots, strict=True)
        return interpolate(kind, start, boundaries, scales, count)


class CosineOneCycle(OneCycle):
    """A cycle of two half cosines."""


def whole_steps(share: Any, steps: Any) -> Any:
    """A share of the steps, rounded down; in double precision for plain numbers."""
    if isinstance(share, float) and isinstance(steps, float):
        return float(np.floor(share * steps))
    return jnp.floor(share * jnp.asarray(steps))


def _piecewise(owner: str, kind: str, init_value: Scalar, knots: Mapping | None) -> core.Schedule:
    pairs = sorted((knots or {}).items())
    boundaries, scales = zip(*pairs, strict=True) if pairs else ((), ())
    return core.build(
        Piecewise,
        owner,
        init_value=init_value,
        boundaries=boundaries,
        scales=scales,
        interpolate_type=kind,
    )


def piecewise_constant_schedule(
    init_value: Scalar, boundaries_and_scales: Mapping[int, float] | None = None
) -> core.Schedule:
    """A constant that is multiplied by a factor at each boundary.

    Args:
      init_value: value at the first step.
      boundaries_and_scales: step to factor, in [0, inf).

    Returns:
      The schedule.

    Raises:
      ValueError: a negative factor.
    """
    owner = "piecewise_constant_schedule"
    return _piecewise(owner, "none", init_value, boundaries_and_scales)


def piecewise_interpolate_schedule(
    interpolate_type: str,
    init_value: Scalar,
    boundaries_and_scales: Mapping[int, float] | None = None,
) -> core.Schedule:
    """Values multiplied by a factor at each boundary, with an interpolation between them.

    Args:
      interpolate_type: `"linear"` or `"cosine"`.
      init_value: value at the first step.
      boundaries_and_scales: step to factor, in [0, inf).

    Returns:
      The schedule.

    Raises:
      ValueError: an unknown interpolation, or a negative factor.
    """
    owner = "piecewise_interpolate_schedule"
    core.one_of("linear", "cosine")(interpolate_type)
    return _piecewise(owner, interpolate_type, init_value, boundaries_and_scales)


@core.builds(OneCycle)
def linear_onecycle_schedule(
    transition_steps: Scalar,
    peak_value: Scalar,
    pct_start: Scalar = 0.3,
    pct_final: Scalar = 0.85,
    div_factor: Scalar = 25.0,
    final_div_factor: Scalar = 1e4,
):
    """Lines up to the peak, down to the start, and far below it.

    Args:
      transition_steps: length of the cycle [steps], in (0, inf).
      peak_value: the highest value.
      pct_start: share of the steps for the rise, in [0, 1].
      pct_final: share of the steps until the start's value is reached again, in [0, 1].
      div_factor: peak over start, in (0, inf).
      final_div_factor: start over final value, in (0, inf).

    Returns:
      The schedule.

    References:
      Smith and Topin, "Super-Convergence", arXiv:1708.07120v3.
    """


@core.builds(CosineOneCycle)
def cosine_onecycle_schedule(
    transition_steps: Scalar,
    peak_value: Scalar,
    pct_start: Scalar = 0.3,
    div_factor: Scalar = 25.0,
    final_div_factor: Scalar = 1e4,
):
    """Half cosines up to the peak and down to far below the start.

    Args:
      transition_steps: length of the cycle [steps], in (0, inf).
      peak_value: the highest value.
      pct_start: share of the steps for the rise, in [0, 1].
      div_factor: peak over start, in (0, inf).
      final_div_factor: start over final value, in (0, inf).

    Returns:
      The schedule.

    References:
      Smith and Topin, "Super-Convergence", arXiv:1708.07120v3.
    """
