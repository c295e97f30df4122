"""LaProp."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

State = dict[str, np.ndarray]


def laprop(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    learning_rate: float,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-15,
    weight_decay: float = 0.0,
) -> Iterator[tuple[np.ndarray, State]]:
    """Ziyin, Wang and Ueda 2020, "LaProp: Separating Momentum and Adaptivity in Adam".

    arXiv:2002.04839v3, the algorithm box named LaProp. The gradient is normalised with its own
    second moment, then averaged. The authors' code keeps the learning rate inside the average (the
    same thing while the rate is constant), and subtracts weight decay after the step, not scaled by
    the learning rate; here it has the convention of this package.
    """
    m, v = np.zeros_like(x), np.zeros_like(x)
    for t, g in enumerate(gradients, 1):
        v = b2 * v + (1 - b2) * g**2
        m = b1 * m + (1 - b1) * g / (np.sqrt(v / (1 - b2**t)) + eps)
        update = -learning_rate * (m / (1 - b1**t) + weight_decay * x)
        x = x + update
        yield update, {"mu": m, "nu": v}
