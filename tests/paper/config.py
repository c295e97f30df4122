"""ConFIG: conflict-free inverse gradients."""

from __future__ import annotations

import numpy as np


def config(matrix: np.ndarray) -> np.ndarray:
    """Liu, Chu and Thuerey 2024, arXiv:2408.11104, equations 2 to 4."""
    unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    direction = np.linalg.pinv(unit) @ np.ones(len(matrix))
    direction = direction / np.linalg.norm(direction)
    return sum(row @ direction for row in matrix) * direction
