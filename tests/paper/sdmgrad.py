"""SDMGrad: stochastic direction-oriented multi-objective gradient descent."""

from __future__ import annotations

import numpy as np

from tests.paper.modo import onto_simplex


def sdmgrad(
    stacks: np.ndarray,
    *,
    strength: float,
    step_size: float,
    momentum: float,
    iterations: int,
    samples: int = 3,
):
    """Xiao, Ban and Ji 2023, arXiv:2305.18409, algorithm 1.

    Momentum, the division by the mean length and the start from the last weights are those of the
    authors' code. The last sample gives the update.
    """
    count = stacks.shape[1] // samples
    weights, wanted = np.full(count, 1 / count), np.full(count, 1 / count)
    for matrix in stacks:
        parts = matrix.reshape(samples, count, -1)
        cross = parts[0] @ parts[min(1, samples - 1)].T
        cross = cross / np.mean(np.sqrt(np.maximum(np.diag(cross), 0))) ** 2
        velocity = np.zeros(count)
        for _ in range(iterations):
            velocity = momentum * velocity + cross @ (weights + strength * wanted)
            weights = onto_simplex(weights - step_size * velocity)
        yield (weights + strength * wanted) @ parts[-1] / (1 + strength)
