"""The geometric median by the smoothed Weiszfeld algorithm."""

from __future__ import annotations

import numpy as np


def geometric_median(matrix: np.ndarray, *, eps: float, iterations: int) -> np.ndarray:
    """Pillutla, Kakade and Harchaoui 2019, arXiv:1912.13445, algorithm 2.

    eps is in units of the root mean square of the lengths.
    """
    floor = eps * np.sqrt(np.mean(np.sum(matrix**2, axis=1)))
    z = matrix.mean(axis=0)
    for _ in range(iterations):
        beta = 1 / np.maximum(floor, np.linalg.norm(matrix - z, axis=1))
        z = beta @ matrix / beta.sum()
    return z
