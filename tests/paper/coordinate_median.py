"""The coordinate-wise median."""

from __future__ import annotations

import numpy as np


def coordinate_median(matrix: np.ndarray) -> np.ndarray:
    """Yin et al. 2018, arXiv:1803.01498, definition 1."""
    return np.array([np.median(column) for column in matrix.T])
