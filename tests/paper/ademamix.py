"""AdEMAMix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

State = dict[str, np.ndarray]
Schedule = float | Callable[[int], float]


def ademamix(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    learning_rate: float,
    b1: float = 0.9,
    b2: float = 0.999,
    b3: Schedule = 0.9999,
    alpha: Schedule = 5.0,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    weight_decay: float = 0.0,
) -> Iterator[tuple[np.ndarray, State]]:
    """Pagliardini, Ablin and Grangier 2024, "The AdEMAMix Optimizer", arXiv:2409.03137v2.

    Algorithm 1. The bias of the slow average m2 is not corrected, and m2 is divided by nothing but
    the common root. A callable `b3` or `alpha` is given the count of finished steps (0 at the
    first), as in optax; the paper and its authors' code give their schedules the number of the step
    (1 at the first). The paper's schedules are `b3_warmup` and `alpha_warmup` below.
    """
    m1, m2, v = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
    for t, g in enumerate(gradients, 1):
        b3_t = b3(t - 1) if callable(b3) else b3
        alpha_t = alpha(t - 1) if callable(alpha) else alpha
        m1 = b1 * m1 + (1 - b1) * g
        m2 = b3_t * m2 + (1 - b3_t) * g
        v = b2 * v + (1 - b2) * g**2
        m1_hat, v_hat = m1 / (1 - b1**t), v / (1 - b2**t)
        direction = (m1_hat + alpha_t * m2) / (np.sqrt(v_hat + eps_root) + eps)
        update = -learning_rate * (direction + weight_decay * x)
        x = x + update
        yield update, {"m1": m1, "m2": m2, "nu": v}


def alpha_warmup(t: int, *, alpha: float, warmup: int) -> float:
    """Linear from 0, section 3."""
    return min(t * alpha / warmup, alpha)


def b3_warmup(t: int, *, b_start: float, b3: float, warmup: int) -> float:
    """Linear in the half-life of the average, from b_start (the paper: b1), section 3.

    The authors' code adds 1e-8 under the logarithm, which moves 1 - b3 by a part in 1e5.
    """
    start, end, done = np.log(b_start), np.log(b3), t / warmup
    return min(float(np.exp(start * end / ((1 - done) * end + done * start))), b3)
