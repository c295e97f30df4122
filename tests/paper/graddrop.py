"""GradDrop: gradient sign dropout."""

from __future__ import annotations

import numpy as np


def graddrop(matrix: np.ndarray, draws: np.ndarray, *, leak: float = 0.0) -> np.ndarray:
    """Chen et al. 2020, arXiv:2010.06808, algorithm 1, lines 10 to 15; draws are uniform."""
    update = np.zeros(matrix.shape[1])
    for k, column in enumerate(matrix.T):
        total = np.abs(column).sum()
        purity = 0.5 * (1 + column.sum() / total) if total > 0 else 0.5
        for g in column:
            kept = (purity > draws[k] and g > 0) or (purity < draws[k] and g < 0)
            update[k] += (leak + (1 - leak) * kept) * g
    return update
