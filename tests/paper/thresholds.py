"""Proximal operators in NumPy, one array: each minimises ½ (x − y)² + s h(y)."""

from __future__ import annotations

import numpy as np


def soft(x: np.ndarray, s: float, weight: float) -> np.ndarray:
    """Donoho 1995: the shrinkage of |x| by s · weight."""
    return np.sign(x) * np.maximum(np.abs(x) - s * weight, 0)


def half(x: np.ndarray, s: float, weight: float) -> np.ndarray:
    """Xu et al. 2012, theorem 1: the half thresholding operator for (x − y)² + λ |y|^(1/2)."""
    lam = 2 * s * weight  # the paper's objective is twice this one
    above = np.abs(x) > 54 ** (1 / 3) / 4 * lam ** (2 / 3)
    size = np.where(above, np.abs(x), 1)
    phi = np.arccos(lam / 8 * (size / 3) ** -1.5 * above)
    return above * (2 / 3) * x * (1 + np.cos(2 * np.pi / 3 - 2 * phi / 3))


def hard(x: np.ndarray, s: float, weight: float) -> np.ndarray:
    """Blumensath and Davies 2008: numbers of at least √(2 s · weight) stay."""
    return np.where(np.abs(x) >= np.sqrt(2 * s * weight), x, 0)


def cel0(x: np.ndarray, s: float, weight: float, column: float) -> np.ndarray:
    """Soubies et al. 2015: the operator of CEL0, for a column of this norm."""
    if column**2 * s >= 1:
        return np.where(np.abs(x) > np.sqrt(2 * s * weight), x, 0)
    shrunk = np.maximum(np.abs(x) - np.sqrt(2 * weight) * s * column, 0) / (1 - column**2 * s)
    return np.sign(x) * np.minimum(np.abs(x), shrunk)


def scad(x: np.ndarray, weight: float, a: float) -> np.ndarray:
    """Fan and Li 2001, equation 2.8, for s = 1."""
    size = np.abs(x)
    middle = ((a - 1) * x - np.sign(x) * a * weight) / (a - 2)
    return np.where(
        size <= 2 * weight,
        np.sign(x) * np.maximum(size - weight, 0),
        np.where(size <= a * weight, middle, x),
    )


def firm(x: np.ndarray, weight: float, width: float) -> np.ndarray:
    """Gao and Bruce 1997, firm shrinkage between λ₁ = weight and λ₂ = width · weight, s = 1."""
    low, high = weight, width * weight
    size = np.abs(x)
    middle = np.sign(x) * high * (size - low) / (high - low)
    return np.where(size <= low, 0, np.where(size <= high, middle, x))


def singular_values(x: np.ndarray, s: float, weight: float) -> np.ndarray:
    """Cai et al. 2010, theorem 2.1: the shrinkage of singular values."""
    u, sigma, v = np.linalg.svd(x, full_matrices=False)
    return u @ np.diag(np.maximum(sigma - s * weight, 0)) @ v


def l1_ball(x: np.ndarray, radius: float) -> np.ndarray:
    """Duchi et al. 2008, figure 1, on the absolute values of a vector."""
    if np.sum(np.abs(x)) <= radius:
        return x
    mu = np.sort(np.abs(x))[::-1]
    sums = np.cumsum(mu) - radius
    rho = np.max(np.nonzero(mu - sums / np.arange(1, len(mu) + 1) > 0)[0])
    return np.sign(x) * np.maximum(np.abs(x) - sums[rho] / (rho + 1), 0)
