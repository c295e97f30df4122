"""Cross-modality gradient harmonization."""

from __future__ import annotations

import numpy as np


def gradient_harmonization(matrix: np.ndarray, *, threshold: float) -> np.ndarray:
    """Wu et al. 2022, arXiv:2211.02077v1: realignment, and a threshold on the cosine."""
    unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    if np.min(unit @ unit.T) < threshold:
        return np.zeros(matrix.shape[1])
    total = np.zeros(matrix.shape[1])
    for i, g in enumerate(matrix):
        for j, other in enumerate(matrix):
            if i != j:
                g = g - min(0, g @ other) / (other @ other) * other
        total = total + g
    return total
