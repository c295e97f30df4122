"""Anderson, Journal of the ACM 12, 1965; Walker and Ni, SIAM J. Numerical Analysis 49, 2011.

In the form with a constraint: the weights of the points add up to one.
"""

from __future__ import annotations

import numpy as np


def anderson_acceleration(mapping, x, *, history, steps, beta=1.0):
    """Yields x₁, x₂, … of algorithm AA, with damping β as Anderson has it.

    Walker and Ni keep m_k = min(m, k) points before the latest one, and solve for the weights
    of all m_k + 1.
    """
    points, images = [], []
    for _ in range(steps):
        points, images = [*points, x][-history - 1 :], [*images, mapping(x)][-history - 1 :]
        residuals = np.array(images) - np.array(points)
        alpha = least_combination(residuals)
        x = (1 - beta) * alpha @ np.array(points) + beta * alpha @ np.array(images)
        yield x


def least_combination(residuals):
    """The weights, adding up to one, of the rows whose combination is shortest."""
    # With the weight of the first row as what is left of one.
    differences = (residuals[1:] - residuals[0]).T
    rest = np.linalg.lstsq(differences, -residuals[0], rcond=None)[0]
    return np.array([1 - rest.sum(), *rest])


def regularized(mapping, x, *, history, steps, beta, ridge, mixing_frequency):
    """The form without constraint, with a ridge, and plain steps between accelerated ones."""
    points, residuals = [], []
    for k in range(1, steps + 1):
        points, residuals = [*points, x], [*residuals, mapping(x) - x]
        m = min(history, k - 1)
        dx = np.diff(np.array(points[k - 1 - m :]), axis=0).reshape(m, len(x)).T
        df = np.diff(np.array(residuals[k - 1 - m :]), axis=0).reshape(m, len(x)).T
        gram = df.T @ df
        gamma = np.linalg.solve(gram + ridge * np.diag(np.diag(gram)), df.T @ residuals[-1])
        if k % mixing_frequency:
            x = x + residuals[-1]
        else:
            x = x + beta * residuals[-1] - (dx + beta * df) @ gamma
        yield x
