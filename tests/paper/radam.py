"""Rectified Adam."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from .adam import lookahead

State = dict[str, np.ndarray]


def radam(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    learning_rate: float,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    threshold: float = 5.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> Iterator[tuple[np.ndarray, State]]:
    """Liu et al. 2020, "On the Variance of the Adaptive Learning Rate and Beyond".

    arXiv:1908.03265v4, algorithm 2. The paper rectifies where rho_t > 4 and has no eps; the code of
    its authors rectifies from 5 on, and so does optax (rho_t >= threshold, default 5).
    """
    rho_inf = 2 / (1 - b2) - 1
    m, v = np.zeros_like(x), np.zeros_like(x)
    for t, g in enumerate(gradients, 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        m_hat = lookahead(m, g, b1, t) if nesterov else m / (1 - b1**t)
        rho = rho_inf - 2 * t * b2**t / (1 - b2**t)
        if rho >= threshold:
            v_hat = v / (1 - b2**t)
            r = np.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
            direction = r * m_hat / (np.sqrt(v_hat + eps_root) + eps)
        else:
            direction = m_hat
        update = -learning_rate * (direction + weight_decay * x)
        x = x + update
        yield update, {"mu": m, "nu": v}
