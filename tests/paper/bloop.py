"""Bloop."""

from __future__ import annotations

import numpy as np


def bloop(stacks: np.ndarray, *, weight: float, b1: float):
    """Hsieh et al. 2024, arXiv:2402.02998, algorithm 1; the average starts at the gradient."""
    m = stacks[0, 0]
    for matrix in stacks:
        m = b1 * m + (1 - b1) * matrix[0]
        aux = matrix[1:].sum(axis=0)
        yield matrix[0] + weight * (aux - (aux @ m) / (m @ m) * m)
