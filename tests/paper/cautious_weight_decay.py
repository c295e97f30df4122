"""Weight decay where direction and weight agree in sign."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np


def cautious_weight_decay(
    gradients: Iterable[np.ndarray], x: np.ndarray, *, learning_rate: float, weight_decay: float
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Chen et al. 2025, arXiv:2510.12402v2, Algorithm 1, with the gradient as direction."""
    for u in gradients:
        update = -learning_rate * (u + weight_decay * (u * x >= 0) * x)
        x = x + update
        yield update, {}
