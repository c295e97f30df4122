"""Bayesian sharpness-aware minimisation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np


def bsam(
    gradient: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    noise: Iterable[np.ndarray],
    *,
    learning_rate: float,
    data_size: float,
    rho: float,
    b1: float,
    b2: float,
    prior: float,
    damping: float,
    initial_scale: float,
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Möllenhoff and Khan 2022, arXiv:2210.01620v3, Algorithm 1.

    In the order of the authors' `build_bsam_optimizer`: the mean moves before the scale does.
    """
    m, s = np.zeros_like(x), np.full_like(x, initial_scale)
    for z in noise:
        g = gradient(x + z / np.sqrt(data_size * s))
        uphill = gradient(x + rho * g / s)
        m = b1 * m + (1 - b1) * (uphill + prior * x)
        update = -learning_rate * m / s
        s = b2 * s + (1 - b2) * (np.sqrt(s) * np.abs(g) + damping + prior)
        x = x + update
        yield update, {"mu": m, "s": s}
