"""FairGrad: alpha-fair allocation."""

from __future__ import annotations

import numpy as np


def fairgrad(matrix: np.ndarray, *, alpha: float) -> np.ndarray:
    """Ban and Ji 2024, arXiv:2402.15638, equation 4: G w = w^(-1 / alpha), by Newton steps."""
    gram = matrix @ matrix.T
    power = 1 / alpha
    w = np.diag(gram) ** (-1 / (1 + power))
    for _ in range(500):
        gradient = gram @ w - w**-power
        step = np.linalg.solve(gram + np.diag(power * w ** (-power - 1)), gradient)
        length = 1.0
        while np.any(w - length * step <= 0.05 * w):
            length /= 2
        w = w - length * step
    return w @ matrix
