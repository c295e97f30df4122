"""The one-step truncation, averaged over draws of the last step."""

from __future__ import annotations

import numpy as np

from tests.paper.unroll import unroll


def low_variance_truncation(targets, draws, *arguments, **hyperparameters):
    """Clark et al. 2023, arXiv:2309.17400: DRaFT-LV, with the last step's target drawn again."""
    found = [
        unroll(np.concatenate([targets, draw[None]]), *arguments, truncation=1, **hyperparameters)
        for draw in draws
    ]
    return np.mean([gradient for gradient, _ in found], axis=0)
