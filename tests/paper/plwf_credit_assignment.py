"""Credit assignment of PLwF."""

from __future__ import annotations

import numpy as np


def plwf_credit_assignment(matrix: np.ndarray) -> np.ndarray:
    """Feng et al. 2022, arXiv:2211.15215: conflicts are removed by projection; no order."""
    total = np.zeros(matrix.shape[1])
    for g in matrix:
        left = g.copy()
        for other in matrix:
            if g @ other < 0:
                left -= (g @ other) / (other @ other) * other
        total += left
    return total
