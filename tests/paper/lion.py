"""Lion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

State = dict[str, np.ndarray]


def lion(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    learning_rate: float,
    b1: float = 0.9,
    b2: float = 0.99,
    weight_decay: float = 1e-3,
) -> Iterator[tuple[np.ndarray, State]]:
    """Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms", arXiv:2302.06675v4.

    Algorithm 2. The update blends with b1, the average decays with b2, and sign(0) is 0.
    """
    m = np.zeros_like(x)
    for g in gradients:
        c = b1 * m + (1 - b1) * g
        update = -learning_rate * (np.sign(c) + weight_decay * x)
        x = x + update
        m = b2 * m + (1 - b2) * g
        yield update, {"mu": m}
