"""AutoSparse with gradient annealing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

State = dict[str, np.ndarray]


def sigmoid(x: float) -> float:
    return 1 / (1 + np.exp(-x))


def annealing(t: float, horizon: float, decay: str) -> float:
    """The paper's decays; L0 = -6 and L1 = 6 bound the argument of the sigmoid."""
    if t >= horizon:
        return 0.0
    cosine = (1 + np.cos(np.pi * t / horizon)) / 2
    falling = 1 - sigmoid(-6 + (6 - -6) * t / horizon)
    return {"cosine": cosine, "sigmoid": falling, "sigmoid_cosine": max(cosine, falling)}[decay]


def gradient_annealing(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    alpha: float,
    steps: float,
    threshold_learning_rate: float,
    threshold_decay: float,
    initial_threshold: float,
    decay: str = "sigmoid_cosine",
) -> Iterator[tuple[np.ndarray, State]]:
    """Kundu et al. 2023, "AUTOSPARSE", arXiv:2304.06941: one layer with a threshold of its own.

    Gradients are those by the sparse weights. Thresholds learn by gradient descent; weights
    move by the annealed gradient, as stored curves do.
    """
    s = np.array(initial_threshold)
    for t, g in enumerate(gradients):
        below = np.abs(x) - sigmoid(s) <= 0
        h = np.where(below, alpha * annealing(t, steps, decay), 1.0)
        by_s = -(sigmoid(s) * (1 - sigmoid(s))) * (np.sign(x) * h * g).sum()
        s = s - threshold_learning_rate * (by_s + threshold_decay * s)
        update = h * g
        x = x + update
        yield update, {"threshold": s}
