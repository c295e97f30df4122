"""Cautious updates, around momentum and around Adam with its decay."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np


def masked(u: np.ndarray, g: np.ndarray, floor: float) -> np.ndarray:
    """Liang et al. 2024, arXiv:2411.16085v4, Algorithm 1, with the floor of the authors' code."""
    mask = (u * g > 0).astype(float)
    return u * (mask / max(mask.mean(), floor))


def cautious(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    learning_rate: float,
    momentum: float,
    floor: float,
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Around heavy-ball momentum."""
    trace = np.zeros_like(x)
    for g in gradients:
        trace = momentum * trace + g
        yield -learning_rate * masked(trace, g, floor), {"trace": trace}


def c_adamw(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    learning_rate: float,
    weight_decay: float,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """C-AdamW of the authors' c_adamw.py: the mask is Adam's, the decay is not masked."""
    m, v = np.zeros_like(x), np.zeros_like(x)
    for t, g in enumerate(gradients, 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        direction = (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
        update = -learning_rate * (masked(direction, g, 1e-3) + weight_decay * x)
        x = x + update
        yield update, {"mu": m, "nu": v}
