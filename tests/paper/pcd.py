"""PCD: priority-constrained descent."""

from __future__ import annotations

from itertools import chain, combinations

import numpy as np


def pcd(stacks: np.ndarray, *, tau: float, b2: float, eps_root: float):
    """Varam and AlHajri 2026, algorithm 1, where every set of active constraints is tried."""
    squares = np.zeros(stacks.shape[1])
    for count, matrix in enumerate(stacks, start=1):
        squares = b2 * squares + (1 - b2) * np.sum(matrix**2, axis=1)
        g = matrix / np.sqrt(squares / (1 - b2**count) + eps_root)[:, None]
        d = _direction(g[0], g[1:], tau)
        yield d * np.linalg.norm(matrix[0]) / np.linalg.norm(d)


def _direction(first: np.ndarray, others: np.ndarray, tau: float) -> np.ndarray:
    shares = tau * np.sum(others**2, axis=1)
    sets = chain.from_iterable(combinations(range(len(others)), n) for n in range(len(others) + 1))
    for active in map(list, sets):
        rows = others[active]
        multipliers = np.linalg.solve(rows @ rows.T, shares[active] - rows @ first)
        d = first + multipliers @ rows
        if np.all(multipliers >= 0) and np.all(others @ d >= shares - 1e-12):
            return d
    return first
