"""Adam with a guess of its next direction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from .adam import lookahead

State = dict[str, np.ndarray]


def optimistic_adam(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    learning_rate: float,
    optimism: float | None = None,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    nesterov: bool = True,
    from_zero: bool = False,
) -> Iterator[tuple[np.ndarray, State]]:
    """Daskalakis et al. 2018, "Training GANs with Optimism", arXiv:1711.00141v2.

    Algorithm 1, which is this with `optimism` equal to the learning rate, `nesterov=False` and
    `from_zero=True`: its directions start at zero, while optax's, taken here, start at the first
    one. `eps_root` is not in the paper.
    """
    o = learning_rate if optimism is None else optimism
    m, v, previous = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
    for t, g in enumerate(gradients, 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        m_hat = lookahead(m, g, b1, t) if nesterov else m / (1 - b1**t)
        r = m_hat / (np.sqrt(v / (1 - b2**t) + eps_root) + eps)
        if t == 1 and not from_zero:
            previous = r
        update = -(learning_rate + o) * r + o * previous
        previous = r
        yield update, {"mu": m, "nu": v, "previous_gradient": r}


def optimistic_adam_v2(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    learning_rate: float,
    alpha: float = 1.0,
    beta: float = 1.0,
    weight_decay: float = 0.0,
    **settings: Any,
) -> Iterator[tuple[np.ndarray, State]]:
    """`optimistic_adam` with its rates as multiples of one, and a decoupled weight decay."""
    rates = {"learning_rate": learning_rate * alpha, "optimism": learning_rate * beta}
    for step, state in optimistic_adam(gradients, x, **rates, **settings):
        update = step - learning_rate * weight_decay * x
        x = x + update
        yield update, state
