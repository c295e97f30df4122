"""The coordinate-wise winsorized mean."""

from __future__ import annotations

import numpy as np


def winsorized_mean(matrix: np.ndarray, *, trim_number: int = 1) -> np.ndarray:
    """Chatterjee and Zielinski 2022, arXiv:2203.10036, on robust averages of gradients."""
    means = []
    for column in matrix.T:
        ordered = sorted(column)
        low, high = ordered[trim_number], ordered[-1 - trim_number]
        means.append(sum(min(max(g, low), high) for g in column) / len(column))
    return np.array(means)
