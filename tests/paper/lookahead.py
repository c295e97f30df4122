"""Lookahead around gradient descent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np


def lookahead(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    learning_rate: float,
    sync_period: int,
    slow_step_size: float,
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Zhang et al. 2019, arXiv:1907.08610, Algorithm 1; the inner loop's steps are yielded."""
    slow, fast = x.copy(), x.copy()
    for t, g in enumerate(gradients, 1):
        before = fast
        fast = fast - learning_rate * g
        if t % sync_period == 0:
            slow = slow + slow_step_size * (fast - slow)
            fast = slow
        yield fast - before, {"slow": slow}
