"""GradNorm."""

from __future__ import annotations

import numpy as np


def gradnorm(stacks: np.ndarray, losses: np.ndarray, *, learning_rate: float, alpha: float):
    """Chen et al. 2017, arXiv:1711.02257, algorithm 1, with plain steps of the weights."""
    count = stacks.shape[1]
    w = np.ones(count)
    for matrix, loss in zip(stacks, losses, strict=True):
        yield w @ matrix
        norms = np.linalg.norm(matrix, axis=1)
        rate = loss / losses[0]
        target = np.mean(w * norms) * (rate / rate.mean()) ** alpha
        w = w - learning_rate * np.sign(w * norms - target) * norms
        w = w * count / w.sum()
