"""CR-MOGM: averaged weights."""

from __future__ import annotations

import numpy as np


def crmogm(stacks: np.ndarray, *, b1: float):
    """Zhou et al. 2022, algorithm 1, around weights in proportion to one over squared norms.

    Those are what MGDA gives orthogonal gradients. The average starts at the first weights.
    """
    weights = None
    for matrix in stacks:
        new = 1 / np.sum(matrix**2, axis=1)
        new = new / new.sum()
        weights = new if weights is None else b1 * weights + (1 - b1) * new
        yield weights @ matrix
