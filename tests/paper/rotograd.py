"""RotoGrad's scaling of gradients."""

from __future__ import annotations

import numpy as np


def rotograd(stacks: np.ndarray, *, burn_in_period: int):
    """Javaloy and Valera 2021, arXiv:2103.02631, section 3.1, equation 3."""
    start = None
    for step, matrix in enumerate(stacks):
        lengths = np.linalg.norm(matrix, axis=1)
        if step in (0, burn_in_period):
            start = lengths
        alpha = (lengths / start) / np.sum(lengths / start)
        yield (alpha @ lengths) * (matrix / lengths[:, None]).sum(axis=0)
