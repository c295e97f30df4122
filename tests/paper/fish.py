"""Fish around heavy-ball descent."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np


def fish(
    gradient: Callable[[np.ndarray, int], np.ndarray],
    x: np.ndarray,
    orders: np.ndarray,
    *,
    learning_rate: float,
    momentum: float,
    rate: float,
) -> Iterator[np.ndarray]:
    """Shi et al. 2022, arXiv:2104.09937v3, Fish; `orders` are the permutations that were drawn.

    The inner optimizer goes on from iteration to iteration (`reload_inner_optim` of the authors'
    code).
    """
    trace = np.zeros_like(x)
    for order in orders:
        inner = x.copy()
        for domain in order:
            trace = momentum * trace + gradient(inner, domain)
            inner = inner - learning_rate * trace
        update = rate * (inner - x)
        x = x + update
        yield update
