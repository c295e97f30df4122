"""Iterative magnitude pruning with rewinding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

State = dict[str, np.ndarray]


def iterative_magnitude_pruning(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    learning_rate: float,
    momentum: float,
    steps: int,
    rounds: int,
    fraction: float,
    rewind: int,
) -> Iterator[tuple[np.ndarray, State]]:
    """Frankle et al. 2020, arXiv:1903.01611v3, with momentum as the way to train one layer.

    Train to step k and remember it; train to step T; prune the given fraction of what is left
    by magnitude; go back to step k; repeat. Pruned weights get no gradient.
    """
    mask, trace = np.ones(x.shape, bool), np.zeros_like(x)
    t, done = 0, 0
    at_k = x.copy(), trace.copy()
    for g in gradients:
        trace = g * mask + momentum * trace
        new, t = (x - learning_rate * trace) * mask, t + 1
        if t == rewind and done == 0:
            at_k = new.copy(), trace.copy()
        if t == steps and done < rounds:
            left = int(np.floor((1 - fraction) * mask.sum() + 0.5))
            order = np.argsort(-np.where(mask, np.abs(new), -1).ravel(), kind="stable")
            mask = np.isin(np.arange(x.size), order[:left]).reshape(x.shape)
            new, trace, t, done = at_k[0] * mask, at_k[1].copy(), rewind, done + 1
        yield new - x, {"kept": mask.copy(), "count": t, "count_rounds": done}
        x = new
