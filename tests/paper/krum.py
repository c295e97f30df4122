"""Krum and Multi-Krum."""

from __future__ import annotations

import numpy as np


def krum(matrix: np.ndarray, *, n_byzantine: int = 0, n_selected: int = 1) -> np.ndarray:
    """Blanchard et al. 2017, section 4: squared distances to the m - f - 2 nearest are summed."""
    scores = []
    for i, row in enumerate(matrix):
        others = [np.sum((row - x) ** 2) for j, x in enumerate(matrix) if j != i]
        scores.append(sum(sorted(others)[: len(matrix) - n_byzantine - 2]))
    chosen = np.argsort(scores, kind="stable")[:n_selected]
    return matrix[chosen].mean(axis=0)
