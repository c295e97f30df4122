"""PCNGD: per-class normalised gradients."""

from __future__ import annotations

import numpy as np


def per_class_normalized_mean(matrix: np.ndarray) -> np.ndarray:
    """Francazi, Baity-Jesi and Lucchi 2022, arXiv:2207.00391v4."""
    return sum(row / np.linalg.norm(row) for row in matrix)
