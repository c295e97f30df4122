"""Norm loss."""

from __future__ import annotations

import numpy as np


def norm_loss(filters: np.ndarray, *, weight: float) -> tuple[float, np.ndarray]:
    """Georgiou et al. 2021, "Norm Loss", arXiv:2103.06583: the penalty and its gradient.

    Filters are rows, of shape (outputs, inputs).
    """
    loss, gradient = 0.0, np.zeros_like(filters)
    for i, w in enumerate(filters):
        length = np.sqrt(np.sum(w**2))
        loss += weight * (1 - length) ** 2
        gradient[i] = 2 * weight * (1 - 1 / length) * w
    return loss, gradient
