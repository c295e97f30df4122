"""A-GEM."""

from __future__ import annotations

import numpy as np


def agem(matrix: np.ndarray) -> np.ndarray:
    """Chaudhry et al. 2018, arXiv:1812.00420, equation 11; the reference is a mean."""
    g, reference = matrix[0], matrix[1:].mean(axis=0)
    inner = g @ reference
    return g if inner >= 0 else g - inner / (reference @ reference) * reference
