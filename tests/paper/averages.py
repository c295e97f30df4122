"""Means of iterates of gradient descent: of all after some step, and of the latest few.

Each yields the mean after every step beside the update; before there is one it is `x` itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np


def swa(
    gradients: Iterable[np.ndarray], x: np.ndarray, *, learning_rate: float, start: int, period: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Izmailov et al. 2018, arXiv:1803.05407v3, Algorithm 1; it begins after step `start`."""
    mean, models = x, 0
    for i, g in enumerate(gradients, 1):
        x = x - learning_rate * g
        if i >= start and (i - start) % period == 0:
            mean = (mean * models + x) / (models + 1)
            models += 1
        yield -learning_rate * g, mean if models else x


def lawa(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    learning_rate: float,
    window: int,
    period: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Kaddour 2022, arXiv:2209.14981v2: the k latest checkpoints, each from the end of an epoch."""
    checkpoints: list[np.ndarray] = []
    for i, g in enumerate(gradients, 1):
        x = x - learning_rate * g
        if i % period == 0:
            checkpoints = [*checkpoints, x][-window:]
        yield -learning_rate * g, np.mean(checkpoints, 0) if checkpoints else x
