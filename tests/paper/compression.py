"""Curves that compress: of ITU-T G.711 and the softsign."""

from __future__ import annotations

import numpy as np


def mu_law(g: np.ndarray, mu: float) -> np.ndarray:
    """ITU-T G.711, μ-law."""
    return np.sign(g) * np.log(1 + mu * np.abs(g)) / np.log(1 + mu)


def a_law(g: np.ndarray, a: float) -> np.ndarray:
    """ITU-T G.711, A-law."""
    scaled = a * np.abs(g)
    log = 1 + np.log(np.maximum(scaled, 1))
    return np.sign(g) * np.where(scaled < 1, scaled, log) / (1 + np.log(a))


def softsign(g: np.ndarray, scale: float) -> np.ndarray:
    """Bergstra et al. 2009, with a scale."""
    return g / (1 + np.abs(g) / scale)
