"""MGDA: the shortest vector in the convex hull of the gradients."""

from __future__ import annotations

from itertools import combinations

import numpy as np


def mgda(matrix: np.ndarray) -> np.ndarray:
    """Désidéri 2012; Sener and Koltun 2018, arXiv:1810.04650, equation 3.

    Every set of gradients is tried: the nearest point to zero of the plane through them, if it
    lies between them, is a candidate, and the shortest candidate is the answer.
    """
    best, least = None, np.inf
    for size in range(1, len(matrix) + 1):
        for rows in map(list, combinations(range(len(matrix)), size)):
            base, steps = matrix[rows[0]], matrix[rows[1:]] - matrix[rows[0]]
            along = np.linalg.lstsq(steps.T, -base, rcond=1e-12)[0]
            weights = np.array([1 - along.sum(), *along])
            point = weights @ matrix[rows]
            if weights.min() >= -1e-12 and point @ point < least:
                best, least = point, point @ point
    return best
