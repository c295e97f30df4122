"""MoDo: multi-objective gradient with double sampling."""

from __future__ import annotations

import numpy as np


def onto_simplex(x: np.ndarray) -> np.ndarray:
    """The nearest vector of the simplex, by bisection on what is subtracted."""
    low, high = x.min() - 1, x.max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(x - middle, 0).sum() > 1 else (low, middle)
    return np.maximum(x - low, 0)


def modo(stacks: np.ndarray, *, step_size: float, rho: float, samples: int = 2):
    """Chen et al. 2024, JMLR 25, algorithm 1 and equation 2.9.

    stacks[t] has the gradients of the objectives on the first sample, then on the second.
    """
    count = stacks.shape[1] // samples
    weights = np.full(count, 1 / count)
    for matrix in stacks:
        parts = matrix.reshape(samples, count, -1)
        first, second = parts[0], parts[min(1, samples - 1)]
        weights = onto_simplex(weights - step_size * (first @ second.T @ weights + rho * weights))
        yield weights @ (parts[-1] if samples == 3 else parts.mean(axis=0))
