"""Schedule-free learning around gradient descent and around Adam without momentum."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np


def schedule_free(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    steps: Callable[[int], float],
    weighs: Callable[[int], float],
    b1: float = 0.9,
    weight_lr_power: float = 2.0,
    weight_decay: float = 0.0,
    b2: float | None = None,
    eps: float = 1e-8,
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Defazio et al. 2024, arXiv:2405.15682, Algorithm 1, with all three sequences stored.

    `steps` and `weighs` are the learning rates of step t = 1, 2, … that move z and that weigh
    the iterates: one in the paper, shifted by a step in optax. Without `b2` the steps are those
    of gradient descent. The decay is taken at y.
    """
    y, z = x.copy(), x.copy()
    largest = total = v = 0.0
    for t, g in enumerate(gradients, 1):
        if b2 is not None:
            v = b2 * v + (1 - b2) * g**2
            g = g / (np.sqrt(v / (1 - b2**t)) + eps)
        z = z - steps(t) * (g + weight_decay * y)
        largest = max(largest, weighs(t))
        weight = largest**weight_lr_power
        total = total + weight
        c = weight / total
        x = (1 - c) * x + c * z
        ahead = (1 - b1) * z + b1 * x
        update, y = ahead - y, ahead
        yield update, {"z": z, "max_lr": np.array(largest), "weight_sum": np.array(total)}
