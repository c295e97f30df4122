"""Optimistic gradient methods that look ahead with a rate of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

State = dict[str, np.ndarray]
Rate = float | Callable[[int], float]


def _rate(value: Rate, t: int) -> float:
    """A rate of step t, the first of which follows the first gradient and is 0."""
    return value(t) if callable(value) else value


def og_plus(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    learning_rate: Rate,
    extrapolation_rate: Rate,
    weight_decay: float = 0.0,
) -> Iterator[tuple[np.ndarray, State]]:
    """Hsieh et al. 2022, "No-Regret Learning in Games with Noisy Feedback: Faster Rates and
    Adaptivity via Learning Rate Separation", arXiv:2206.06015v2.

    OG+: gradients come from the leading points, whose movements are the updates. `weight_decay` is
    not in the paper.
    """
    base, leading = x, x
    for t, g in enumerate(gradients):
        eta, gamma = _rate(learning_rate, t), _rate(extrapolation_rate, t)
        base = base - eta * (g + weight_decay * leading)
        new = base - gamma * g
        yield new - leading, {"ahead": new - base}
        leading = new


def optda_plus(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    learning_rate: Rate,
    extrapolation_rate: Rate,
) -> Iterator[tuple[np.ndarray, State]]:
    """The same paper's OptDA+: the base point is that of dual averaging."""
    leading, total = x, np.zeros_like(x)
    for t, g in enumerate(gradients):
        eta, gamma = _rate(learning_rate, t), _rate(extrapolation_rate, t)
        total = total + g
        base = x - eta * total
        new = base - gamma * g
        yield new - leading, {"gradient_sum": total, "displacement": new - x}
        leading = new
