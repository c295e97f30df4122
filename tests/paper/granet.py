"""GraNet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

State = dict[str, np.ndarray]


def nearest(x: float) -> int:
    return int(np.floor(x + 0.5))


def largest(scores: np.ndarray, count: int) -> np.ndarray:
    mask = np.zeros(scores.size, bool)
    mask[np.argsort(-scores.ravel(), kind="stable")[:count]] = True
    return mask.reshape(scores.shape)


def granet(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    learning_rate: float,
    initial_sparsity: float,
    final_sparsity: float,
    regrowth: float,
    every: int,
    begin: int,
    end: int,
) -> Iterator[tuple[np.ndarray, State]]:
    """Liu et al. 2021, arXiv:2106.10404v4: the authors' `Masking` with gradient descent.

    One layer: the threshold over all layers is that of this one. The mask is applied to the
    weights after the step of the optimizer; then, when it is time, the smallest weights are
    pruned to the sparsity of the cubic schedule, more of them are removed, and as many grow
    where the gradient is largest.
    """
    kept = largest(np.abs(x), nearest((1 - initial_sparsity) * x.size))
    for t, g in enumerate(gradients, 1):
        new = (x - learning_rate * g) * kept
        if t % every == 0 and t >= begin:
            left = 1 - np.clip((t - begin) / (end - begin), 0, 1)
            sparsity = final_sparsity + (initial_sparsity - final_sparsity) * left**3
            pruned = largest(np.where(kept, np.abs(new), -1), nearest((1 - sparsity) * x.size))
            rate = regrowth * (1 + np.cos(np.pi * min(t / end, 1))) / 2
            count = min(nearest(rate * pruned.sum()), x.size - pruned.sum())
            survivors = largest(np.where(pruned, np.abs(new), -1), pruned.sum() - count)
            grown = largest(np.where(survivors, -1, np.abs(g)), count)
            new = new * (survivors | grown) * kept
            kept = survivors | grown
        yield new - x, {"kept": kept}
        x = new
