"""UPGrad: unconflicting projection of gradients."""

from __future__ import annotations

from itertools import combinations

import numpy as np


def nonnegative_least_squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The z >= 0 that is least in |a z - b|, exactly: every set of positive entries is tried.

    Some solution has linearly independent columns in its support, so dependent ones do no harm.
    """
    columns = a.shape[1]
    best, least = np.zeros(columns), float(b @ b)
    for size in range(1, columns + 1):
        for free in map(list, combinations(range(columns), size)):
            z = np.zeros(columns)
            z[free] = np.linalg.lstsq(a[:, free], b, rcond=1e-12)[0]
            error = float(np.sum((a @ z - b) ** 2))
            if z.min() >= 0 and error < least:
                best, least = z, error
    return best


def upgrad(matrix: np.ndarray, *, norm_eps: float = 0.0, reg_eps: float = 0.0) -> np.ndarray:
    """Quinton and Rey 2024, "Jacobian Descent for Multi-Objective Optimization".

    arXiv:2406.16232v3, equation 3 and proposition 1: each gradient is projected onto the dual cone
    {x : J x >= 0}, and the projections are averaged. The projection of row i is J^T w with the w
    that is least in w^T G w under w >= e_i, where G = J J^T; with w = e_i + z this is a least
    squares problem in z >= 0. The paper has no regularisation. torchjd divides G by its trace
    (taking zero instead if the trace is below norm_eps) and adds reg_eps to its diagonal, 1e-4
    both by default; here both are 0 by default, and equal settings give equal numbers.
    """
    rows = len(matrix)
    size = float(np.sum(matrix**2))
    scaled = matrix / np.sqrt(size) if size >= norm_eps and size > 0 else 0.0 * matrix
    a = np.concatenate([scaled.T, np.sqrt(reg_eps) * np.eye(rows)])
    weights = [e + nonnegative_least_squares(a, -a @ e) for e in np.eye(rows)]
    return np.mean(weights, axis=0) @ matrix
