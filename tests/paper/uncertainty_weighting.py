"""Uncertainty weighting."""

from __future__ import annotations

import numpy as np


def uncertainty_weighting(stacks: np.ndarray, losses: np.ndarray, *, learning_rate: float):
    """Kendall, Gal and Cipolla 2017, arXiv:1705.07115, equation 7, in s = log(sigma^2).

    The loss is sum(exp(-s) L / 2 + s / 2); s takes gradient steps.
    """
    s = np.zeros(stacks.shape[1])
    for matrix, loss in zip(stacks, losses, strict=True):
        yield np.exp(-s) / 2 @ matrix
        s = s - learning_rate * (-np.exp(-s) * loss / 2 + 0.5)
