"""Durations measured in turns, and what is said of them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

WARM_UP = 3


@dataclasses.dataclass(frozen=True)
class Spread:
    """A median and its quartiles."""

    median: float
    low: float
    high: float
    repetitions: int

    @classmethod
    def of(cls, values: Sequence[float] | np.ndarray) -> Spread:
        low, median, high = (float(x) for x in np.percentile(np.asarray(values), (25, 50, 75)))
        return cls(median, low, high, len(values))

    def scaled(self, factor: float) -> Spread:
        return Spread(self.median * factor, self.low * factor, self.high * factor, self.repetitions)


def seconds(call: Callable[[], Any]) -> float:
    """The duration of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def in_turns(
    calls: Mapping[str, Callable[[], Any]], repetitions: int, warm_up: int = WARM_UP
) -> dict[str, np.ndarray]:
    """Durations of several calls made one after the other, over and over.

    Each round begins with another call, so that nobody always runs after the same neighbour:
    what a call leaves in the cache is worth something to the next.

    Args:
      calls: functions that return when their result is there.
      repetitions: rounds that count.
      warm_up: rounds before them.

    Returns:
      For each call its duration in each round [s].
    """
    for _ in range(warm_up):
        for call in calls.values():
            call()
    names, took = list(calls), {name: [] for name in calls}
    for index in range(repetitions):
        first = index % len(names)
        for name in names[first:] + names[:first]:
            took[name].append(seconds(calls[name]))
    return {name: np.asarray(durations) for name, durations in took.items()}


def ratio(ours: np.ndarray, theirs: np.ndarray) -> Spread:
    """The quotient of two durations of the same round: its median and quartiles."""
    return Spread.of(ours / theirs)
