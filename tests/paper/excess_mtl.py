"""ExcessMTL: weights from excess risks."""

from __future__ import annotations

import numpy as np


def excess_mtl(stacks: np.ndarray, *, step_size: float, n_warmup_steps: int = 0):
    """He et al. 2024, algorithm 1 and equations 6, 7 and 9; weights start at 1/m."""
    count = stacks.shape[1]
    weights, squares, scale = np.full(count, 1 / count), 0.0, None
    collected = []
    for step, matrix in enumerate(stacks):
        squares = squares + matrix**2
        risk = np.sum(matrix**2 / np.sqrt(squares + 1e-7), axis=1)
        if step < n_warmup_steps:
            collected.append(risk)
            yield weights @ matrix
            continue
        if scale is None and not collected:
            scale, relative = risk, risk
        else:
            scale = np.mean(collected, axis=0) if scale is None else scale
            relative = risk / (scale + 1e-7)
        weights = weights * np.exp(step_size * relative)
        weights = weights / weights.sum()
        yield weights @ matrix
