"""A weighted sum of the gradients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def constant_weights(matrix: np.ndarray, *, weights: Sequence[float]) -> np.ndarray:
    """Quinton and Rey 2024, arXiv:2406.16232v3, for the setting."""
    return sum(w * row for w, row in zip(weights, matrix, strict=True))
