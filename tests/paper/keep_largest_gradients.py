"""Gradient-mask tuning."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

State = dict[str, np.ndarray]


def keep_largest_gradients(
    gradients: Iterable[np.ndarray], x: np.ndarray, *, fraction: float
) -> Iterator[tuple[np.ndarray, State]]:
    """Li et al. 2024, "Gradient-Mask Tuning Elevates the Upper Limits of LLM Performance".

    arXiv:2406.15330v1, the mask of one module. Of equal gradients, the first are kept.
    """
    del x
    for g in gradients:
        count = int(np.floor(fraction * g.size + 0.5))
        kept = np.argsort(-np.abs(g).ravel(), kind="stable")[:count]
        update = np.zeros(g.size)
        update[kept] = g.ravel()[kept]
        yield update.reshape(g.shape), {}
