"""ODICE's orthogonal-gradient update."""

from __future__ import annotations

import numpy as np


def orthogonal_backward(matrix: np.ndarray, *, eta: float) -> np.ndarray:
    """Mao et al. 2024: the backward gradient, projected off the forward one, is added."""
    forward, backward = matrix[0], matrix[1:].sum(axis=0)
    return forward + eta * (backward - (backward @ forward) / (forward @ forward) * forward)
