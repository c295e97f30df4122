"""ISTA and FISTA, for the l1 norm."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from tests.paper.thresholds import soft


def proximal_gradient(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    learning_rate: float,
    strength: float,
    acceleration: bool = False,
    restart: bool = False,
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Beck and Teboulle 2009: equation 1.4, and FISTA with constant step size (4.1 to 4.3).

    The parameters are y_k. Restarts are those of O'Donoghue and Candès 2015, section 3.2, gradient
    scheme: momentum is forgotten where (y − x_new)ᵀ(x_new − x_old) > 0.
    """
    y, t = x, 1.0
    for g in gradients:
        new = soft(y - learning_rate * g, learning_rate, strength)
        if not acceleration:
            yield new - y, {}
            y = new
            continue
        if restart and (y - new) @ (new - x) > 0:
            t = 1.0
        t_next = (1 + np.sqrt(1 + 4 * t**2)) / 2
        ahead = new + (t - 1) / t_next * (new - x)
        yield ahead - y, {"t": np.array(t_next), "x": new}
        x, y, t = new, ahead, t_next
