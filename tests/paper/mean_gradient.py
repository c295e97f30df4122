"""The mean of the gradients."""

from __future__ import annotations

import numpy as np


def mean_gradient(matrix: np.ndarray) -> np.ndarray:
    """Quinton and Rey 2024, arXiv:2406.16232v3: the baseline."""
    return sum(matrix) / len(matrix)
