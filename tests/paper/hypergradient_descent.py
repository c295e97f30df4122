"""Hypergradient descent of the learning rate of gradient descent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np


def hypergradient_descent(
    gradient: Callable[[np.ndarray, np.ndarray], np.ndarray],
    x: np.ndarray,
    batches: Iterable[np.ndarray],
    *,
    learning_rate: float,
    hypergradient_rate: float,
) -> Iterator[tuple[np.ndarray, float]]:
    """Baydin et al., "Online Learning Rate Adaptation with Hypergradient Descent",
    arXiv:1703.04782, SGD-HD.

    The gradient before the first step counts as zero. Gives parameters and learning rate after
    each step.
    """
    previous = np.zeros_like(x)
    for batch in batches:
        g = gradient(x, batch)
        learning_rate = learning_rate + hypergradient_rate * np.sum(g * previous)
        x = x - learning_rate * g
        previous = g
        yield x, learning_rate
