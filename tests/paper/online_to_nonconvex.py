"""Online-to-non-convex conversion with projected online gradient descent."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np


def online_to_nonconvex(
    gradient: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    shares: np.ndarray,
    *,
    learning_rate: float,
    radius: float,
    every: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Cutkosky et al. 2023, arXiv:2302.03775v2, algorithm 1; `shares` are the draws of s.

    Yields each point w at which a gradient is taken, and the mean of those of its epoch so far,
    which at the end of an epoch is the algorithm's output.
    """
    increment = np.zeros_like(x)
    epoch: list[np.ndarray] = []
    for n, share in enumerate(shares):
        w = x + share * increment
        x = x + increment
        epoch.append(w)
        yield w, np.mean(epoch, 0)
        increment = increment - learning_rate * gradient(w)
        size = np.sqrt(np.sum(increment**2))
        if size > radius:
            increment = radius * increment / size
        if (n + 1) % every == 0:
            increment, epoch = np.zeros_like(x), []
