"""SAdam: Adam with a softplus for denominator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np


def sadam(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    learning_rate: float,
    b1: float = 0.9,
    b2: float = 0.999,
    sharpness: float = 50.0,
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Tong et al. 2019, arXiv:1908.00700v2, Sadam; bias corrected, as in `sadam`."""
    m, v = np.zeros_like(x), np.zeros_like(x)
    for t, g in enumerate(gradients, 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        root = np.sqrt(v / (1 - b2**t))
        softplus = np.logaddexp(0, sharpness * root) / sharpness
        yield -learning_rate * m / (1 - b1**t) / softplus, {"mu": m, "nu": v}
