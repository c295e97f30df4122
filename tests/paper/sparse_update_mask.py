"""Sparse training with parameters selected for each neuron."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

State = dict[str, np.ndarray]


def sparse_update_mask(
    gradients: Iterable[np.ndarray], x: np.ndarray, *, connections: int
) -> Iterator[tuple[np.ndarray, State]]:
    """Zhang et al. 2024, "Proactive Gradient Conflict Mitigation", arXiv:2411.18615v1.

    Section 3.4: the connections of highest magnitude among all that enter a neuron, chosen
    once. The last axis counts neurons. Of equal weights, the first are chosen.
    """
    columns = x.reshape(-1, x.shape[-1])
    kept = np.zeros(columns.shape, bool)
    for neuron, column in enumerate(columns.T):
        kept[np.argsort(-np.abs(column), kind="stable")[:connections], neuron] = True
    kept = kept.reshape(x.shape)
    for g in gradients:
        yield np.where(kept, g, 0.0), {"kept": kept}
