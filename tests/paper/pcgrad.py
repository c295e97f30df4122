"""PCGrad: gradient surgery."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def pcgrad(matrix: np.ndarray, orders: Sequence[Sequence[int]] | np.ndarray) -> np.ndarray:
    """Yu et al. 2020, "Gradient Surgery for Multi-Task Learning", arXiv:2001.06782v4, algorithm 1.

    `matrix` has one gradient a row, `orders[i]` is the order in which row i meets the rows, itself
    skipped. A row is projected off the original, never off a projected other row. The result is the
    SUM over tasks, as in the paper and torchjd. The TensorFlow code of the authors runs through the
    tasks in one order for all rows (the shuffle that it calls returns a copy and is lost).
    """
    projected = matrix.copy()
    for i, order in enumerate(orders):
        for j in order:
            inner = projected[i] @ matrix[j]
            if j != i and inner < 0:
                projected[i] = projected[i] - inner / (matrix[j] @ matrix[j]) * matrix[j]
    return projected.sum(axis=0)
