"""Gradient projection."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np


def projected_gradient(
    gradients: Iterable[np.ndarray], x: np.ndarray, *, learning_rate: float, radius: float
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Bertsekas 1976, equation 2, onto the ball of the Euclidean norm."""
    for g in gradients:
        moved = x - learning_rate * g
        new = moved * min(1, radius / np.linalg.norm(moved))
        yield new - x, {}
        x = new
