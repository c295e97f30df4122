"""Nash-MTL: multi-task learning as a bargaining game."""

from __future__ import annotations

import numpy as np


def nash_mtl(matrix: np.ndarray, *, max_norm: float = 1.0) -> np.ndarray:
    """Navon et al. 2022, arXiv:2202.01017, algorithm 1: G a = 1 / a, and the norm is clipped.

    The solution minimises a' G a / 2 - sum(log a), which damped Newton steps do.
    """
    gram = matrix @ matrix.T
    a = 1 / np.sqrt(np.diag(gram))
    for _ in range(200):
        gradient = gram @ a - 1 / a
        step = np.linalg.solve(gram + np.diag(a**-2), gradient)
        decrement = np.sqrt(max(gradient @ step, 0))
        a = a - step / (1 + decrement) if decrement > 0.1 else a - step
    update = a @ matrix
    norm = np.linalg.norm(update)
    return update * max_norm / norm if norm > max_norm else update
