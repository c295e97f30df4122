"""The coordinate-wise trimmed mean."""

from __future__ import annotations

import numpy as np


def trimmed_mean(matrix: np.ndarray, *, trim_number: int = 1) -> np.ndarray:
    """Yin et al. 2018, arXiv:1803.01498, definition 2."""
    columns = [sorted(column)[trim_number : len(column) - trim_number] for column in matrix.T]
    return np.array([sum(column) / len(column) for column in columns])
