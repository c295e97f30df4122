"""AdaBelief."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from .adam import lookahead

State = dict[str, np.ndarray]


def adabelief(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    learning_rate: float,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-16,
    eps_root: float = 1e-16,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> Iterator[tuple[np.ndarray, State]]:
    """Zhuang et al. 2020, "AdaBelief Optimizer: Adapting Stepsizes by the Belief in ...".

    arXiv:2010.07468v5, algorithm 2. The paper has one eps, added to the average s at every step (so
    that it accumulates, up to eps / (1 - b2)) and again outside the root; optax calls the first
    `eps_root` and the second `eps`. The authors' package does what the paper says.
    """
    m, s = np.zeros_like(x), np.zeros_like(x)
    for t, g in enumerate(gradients, 1):
        m = b1 * m + (1 - b1) * g
        s = b2 * s + (1 - b2) * (g - m) ** 2 + eps_root
        m_hat = lookahead(m, g, b1, t) if nesterov else m / (1 - b1**t)
        s_hat = s / (1 - b2**t)
        update = -learning_rate * (m_hat / (np.sqrt(s_hat) + eps) + weight_decay * x)
        x = x + update
        yield update, {"mu": m, "nu": s}
