"""Coordinates in which a hyperparameter may move freely without leaving its range."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradlab.core import Interval


@dataclasses.dataclass(frozen=True)
class Coordinate:
    """A real number that stands for a hyperparameter.

    With one finite end it is the logarithm of the distance to that end; with two, the logarithm
    of the ratio of the distances; with none, or where `linear` says so, the value itself, which
    is then put back onto the range.

    Attributes:
      interval: the range of the hyperparameter.
      linear: steps are taken in the value itself.
    """

    interval: Interval
    linear: bool = False

    @property
    def kind(self) -> str:
        """`linear`, `log` or `logit`."""
        finite = math.isfinite(self.interval.low) + math.isfinite(self.interval.high)
        return "linear" if self.linear else ("linear", "log", "logit")[finite]

    def of(self, value: Any) -> jax.Array:
        """The coordinate of a value, in float32 or wider."""
        low, high = self.interval.low, self.interval.high
        x = jnp.asarray(value, working_dtype(value))
        if self.kind == "linear":
            return x
        if self.kind == "logit":
            return jnp.log(x - low) - jnp.log(high - x)
        return jnp.log(x - low if math.isfinite(low) else high - x)

    def value(self, coordinate: jax.Array, dtype: Any) -> jax.Array:
        """The value at a coordinate: inside of the range, rounding included."""
        low, high = self.interval.low, self.interval.high
        if self.kind == "linear":
            x = coordinate
        elif self.kind == "logit":
            x = low + (high - low) * jax.nn.sigmoid(coordinate)
        else:
            x = low + jnp.exp(coordinate) if math.isfinite(low) else high - jnp.exp(coordinate)
        return _within(x, *(end.astype(x.dtype) for end in self._ends(dtype))).astype(dtype)

    def inside(self, coordinate: jax.Array) -> jax.Array:
        """The nearest coordinate whose value is one that the range and the dtype have."""
        dtype = coordinate.dtype
        if self.kind == "linear":
            return jnp.clip(coordinate, *self._ends(dtype))
        number = np.finfo(dtype)
        if self.kind == "logit":
            furthest = -math.log(float(number.eps))
            return jnp.clip(coordinate, -furthest, furthest)
        return jnp.clip(coordinate, math.log(number.tiny) + 1, math.log(number.max) - 1)

    def _ends(self, dtype: Any) -> tuple[Any, Any]:
        """The smallest and the largest number of a dtype that the range holds."""
        number, interval = jnp.finfo(dtype), self.interval
        low, high = (
            np.clip(np.float64(end), float(number.min), float(number.max)).astype(dtype)
            for end in (interval.low, interval.high)
        )
        first = np.nextafter(low, high) if interval.low_open else low
        last = np.nextafter(high, low) if interval.high_open else high
        # Compiled programs take the subnormal neighbours of zero for zero.
        first = number.tiny if 0 < first < number.tiny else first
        last = -number.tiny if -number.tiny < last < 0 else last
        return np.asarray(first, dtype), np.asarray(last, dtype)


@jax.custom_jvp
def _within(x: jax.Array, low: Any, high: Any) -> jax.Array:
    """The nearest number between two; its derivative is one beyond them, too, to lead back."""
    return jnp.clip(x, low, high)


@_within.defjvp
def _within_jvp(primals: tuple, tangents: tuple) -> tuple:
    return _within(*primals), tangents[0]


def working_dtype(value: Any) -> Any:
    """The dtype of the coordinates of a hyperparameter."""
    dtype = jnp.result_type(float) if isinstance(value, float) else jnp.result_type(value)
    return jnp.promote_types(dtype, jnp.float32)
