"""Annealed Gaussian noise on gradients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

State = dict[str, np.ndarray]


def add_noise(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    draws: Iterable[np.ndarray],
    eta: float,
    gamma: float,
    key: int | None = None,
) -> Iterator[tuple[np.ndarray, State]]:
    """Neelakantan et al. 2015, "Adding Gradient Noise Improves Learning for Very Deep Networks".

    arXiv:1511.06807v1, equation 1: the variance is eta / (1 + t) ** gamma with t = 0 at the first
    step. optax raises its count first and divides by count ** gamma: the same. `draws` are the
    standard normal numbers. optax makes them from `key`: at every step the key is split in two,
    the first half is kept as state, the second is split once for each leaf.
    """
    del x, key
    for t, (g, draw) in enumerate(zip(gradients, draws, strict=True)):
        yield g + np.sqrt(eta / (1 + t) ** gamma) * draw, {}
