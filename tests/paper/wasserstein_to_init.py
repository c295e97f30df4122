"""Wasserstein distance to the initial weights."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np


def wasserstein_to_init(
    layers: Sequence[np.ndarray], initial: Sequence[np.ndarray], *, weight: float
) -> float:
    """Lewandowski et al. 2024, arXiv:2406.06811v1: squared distances of sorted weights."""
    loss = 0.0
    for w, w0 in zip(layers, initial, strict=True):
        loss += weight * np.sum((np.sort(np.ravel(w)) - np.sort(np.ravel(w0))) ** 2)
    return loss


def transport_cost(w: np.ndarray, w0: np.ndarray) -> float:
    """The least sum of squared distances over all ways to match two sets of numbers."""
    return min(float(np.sum((w[list(order)] - w0) ** 2)) for order in permutations(range(len(w))))
