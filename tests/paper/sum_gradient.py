"""The sum of the gradients."""

from __future__ import annotations

import numpy as np


def sum_gradient(matrix: np.ndarray) -> np.ndarray:
    """Quinton and Rey 2024, arXiv:2406.16232v3, for the setting."""
    return sum(row for row in matrix)
