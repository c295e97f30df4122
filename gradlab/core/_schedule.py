"""What a schedule is: data that maps a step count to a number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradlab.core._data import Data
from gradlab.core._fields import static


class Schedule(Data):
    """A function from the step count to a number, whose knots are leaves.

    Subclasses define `__call__(count)`, where `count` is an int32 scalar (0 at the first
    step), and return a float32 scalar or wider.
    """

    def __call__(self, count: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has to define __call__")


class ForeignSchedule(Schedule):
    """Any other function of the count, wrapped in a node without leaves."""

    function: Callable[[Any], Any] = static()

    def __call__(self, count: Any) -> jax.Array:
        return jnp.asarray(self.function(count))

    def __repr__(self) -> str:
        return getattr(self.function, "__qualname__", repr(self.function))


def adopt_schedule(value: Callable[[Any], Any]) -> Schedule:
    """A schedule as data: ours unchanged, any other callable wrapped."""
    return value if isinstance(value, Schedule) else ForeignSchedule(function=value)


def at(value: Any, count: Any) -> Any:
    """The number that a hyperparameter stands for at this step."""
    return value(count) if isinstance(value, Schedule) else value
