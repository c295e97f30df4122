"""Spectral regularization."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def spectral_regularization(
    matrices: Sequence[np.ndarray],
    vectors: Sequence[np.ndarray],
    *,
    weight: float,
    power: float = 2.0,
    num_iters: int = 1,
) -> tuple[float, list[np.ndarray]]:
    """Lewandowski et al. 2024, arXiv:2406.06811v2: the penalty, and the vectors afterwards.

    Each matrix is (outputs, inputs); power iteration improves a right singular vector.
    """
    loss, new = 0.0, []
    for w, v in zip(matrices, vectors, strict=True):
        for _ in range(num_iters):
            u = w @ v
            u = u / np.linalg.norm(u)
            v = w.T @ u
            v = v / np.linalg.norm(v)
        loss += weight * (np.linalg.norm(w @ v) ** power - 1) ** 2
        new.append(v)
    return loss, new
