"""Momentum with a complex decay."""

from __future__ import annotations

import cmath
from collections.abc import Iterable, Iterator

import numpy as np

State = dict[str, np.ndarray]


def complex_momentum(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    learning_rate: float,
    momentum: float = 0.9,
    momentum_angle: float = np.pi / 8,
    learning_rate_angle: float = 0.0,
    weight_decay: float = 0.0,
) -> Iterator[tuple[np.ndarray, State]]:
    """Lorraine et al. 2022, "Complex Momentum for Optimization in Games", arXiv:2102.08431v2.

    The simultaneous method, with the paper's signs: the buffer mu collects negative gradients. The
    state that is yielded has the other sign, as a sum of gradients. `weight_decay` is not in the
    paper.
    """
    alpha = cmath.rect(learning_rate, learning_rate_angle)
    beta = cmath.rect(momentum, momentum_angle)
    mu = np.zeros(x.shape, complex)
    for g in gradients:
        mu = beta * mu - g
        update = np.real(alpha * mu) - learning_rate * weight_decay * x
        x = x + update
        yield update, {"trace": -mu}
