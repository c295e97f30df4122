"""Clipping of the largest coordinates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

State = dict[str, np.ndarray]


def clip_largest_coordinates(
    gradients: Iterable[np.ndarray], x: np.ndarray, *, fraction: float = 0.1
) -> Iterator[tuple[np.ndarray, State]]:
    """Pan and Li 2023, "Toward Understanding Why Adam Converges Faster Than SGD for Transformers".

    arXiv:2306.00204v1, algorithm 1: the threshold is such that the largest fraction of the
    coordinates is clipped.
    """
    del x
    for g in gradients:
        threshold = np.quantile(np.abs(g), 1 - fraction)
        yield np.sign(g) * np.minimum(np.abs(g), threshold), {}
