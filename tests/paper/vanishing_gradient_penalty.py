"""The vanishing gradient penalty."""

from __future__ import annotations

import numpy as np


def vanishing_gradient_penalty(
    w: np.ndarray, states: np.ndarray, signals: np.ndarray, *, squared: bool = True
) -> tuple[float, np.ndarray]:
    """Pascanu et al. 2013, arXiv:1211.5063v2, section 3.3: Ω, and its immediate derivative by W.

    Steps are x_{k+1} = W tanh(x_k) + ..., `states` the x_k and `signals` the dE/dx_{k+1}. The
    derivative holds states and signals constant.
    """
    omega, gradient = 0.0, np.zeros_like(w)
    for x, e in zip(states, signals, strict=True):
        slope = 1 - np.tanh(x) ** 2
        back = slope * (w.T @ e)
        ratio = np.sum(back**2) / np.sum(e**2)
        d_ratio = 2 * np.outer(e, slope * back) / np.sum(e**2)
        if squared:
            omega += (ratio - 1) ** 2
            gradient += 2 * (ratio - 1) * d_ratio
        else:
            omega += (np.sqrt(ratio) - 1) ** 2
            gradient += (np.sqrt(ratio) - 1) / np.sqrt(ratio) * d_ratio
    return omega, gradient


def authors_penalty(w: np.ndarray, states: np.ndarray, signals: np.ndarray) -> float:
    """What the authors' code multiplies by α, for (steps, batch, units)."""
    ratios, counted = [], []
    for x, e in zip(states, signals, strict=True):
        before = np.sum(e**2, axis=1)
        after = np.sum((((1 - np.tanh(x) ** 2) * (e @ w)) ** 2), axis=1)
        present = before >= 1e-20
        ratios.append(np.mean(np.where(present, after / np.maximum(before, 1e-300) - 1, 0) ** 2))
        counted.append(np.mean(present))
    return float(np.sum(ratios) / np.sum(counted))
