"""Random loss weighting."""

from __future__ import annotations

import numpy as np


def random_weights(matrix: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Lin et al. 2021, arXiv:2111.10603, algorithm 2: softmax of standard normal numbers."""
    weights = np.exp(draws) / np.sum(np.exp(draws))
    return weights @ matrix
