"""AdamS: Adam with stable weight decay."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np


def adams(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    learning_rate: float,
    weight_decay: float,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Xie et al. 2020, arXiv:2011.11152, AdamS, in the form of the authors' `AdamS`.

    All coordinates of `x` are all parameters: the mean under the root is over them.
    """
    m, v = np.zeros_like(x), np.zeros_like(x)
    for t, g in enumerate(gradients, 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        v_hat = v / (1 - b2**t)
        decayed = x * (1 - weight_decay * learning_rate / np.sqrt(v_hat.mean()))
        after = decayed - learning_rate / (1 - b1**t) * m / (np.sqrt(v_hat) + eps)
        update, x = after - x, after
        yield update, {"mu": m, "nu": v}
