"""How long programs take, measured in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np


def in_turns(
    calls: Mapping[str, Callable[[], Any]], rounds: int, warm_up: int = 3
) -> dict[str, np.ndarray]:
    """Seconds of every call in every round; each call begins a round in turn.

    Args:
      calls: what is timed, results waited for.
      rounds: how often.
      warm_up: rounds before those.
    """
    names, took = list(calls), {label: np.zeros(rounds) for label in calls}
    for index in range(-warm_up, rounds):
        for label in names[index % len(names) :] + names[: index % len(names)]:
            begin = time.perf_counter()
            jax.block_until_ready(calls[label]())
            if index >= 0:
                took[label][index] = time.perf_counter() - begin
    return took
