"""CAGrad: conflict-averse gradient descent."""

from __future__ import annotations

from itertools import combinations

import numpy as np


def cagrad(matrix: np.ndarray, *, c: float) -> np.ndarray:
    """Liu et al. 2021, arXiv:2110.14048, algorithm 1, for linearly independent gradients.

    The direction is g_0 + y J with y >= 0 and |y J| = c |g_0|. Every set of gradients that may
    have y > 0 is tried: on them the direction has one inner product mu, which solves a quadratic
    equation. Of all these directions, which lie in the ball, the one whose least inner product is
    largest is the answer.
    """
    mean = matrix.mean(axis=0)
    radius = c * np.linalg.norm(mean)
    best, least = mean, np.min(matrix @ mean)
    for size in range(1, len(matrix) + 1):
        for rows in map(list, combinations(range(len(matrix)), size)):
            part = matrix[rows]
            inverse = np.linalg.inv(part @ part.T)
            ones, along = np.ones(size), part @ mean
            a, b = ones @ inverse @ ones, ones @ inverse @ along
            rest = along @ inverse @ along - radius**2
            if b * b < a * rest:
                continue
            for sign in (-1, 1):
                mu = (b + sign * np.sqrt(b * b - a * rest)) / a
                direction = mean + (inverse @ (mu * ones - along)) @ part
                if np.min(matrix @ direction) > least:
                    best, least = direction, np.min(matrix @ direction)
    return best
