"""Spectral decoupling."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def spectral_decoupling(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    weight: Mapping[int, float],
    center: Mapping[int, float],
) -> float:
    """Pezeshki et al. 2020, arXiv:2011.09468: the penalty summed over examples.

    The logits are (examples, outputs); factor and centre belong to the label of the example.
    """
    loss = 0.0
    for f, y in zip(logits, labels, strict=True):
        loss += weight[int(y)] / 2 * np.sum((f - center[int(y)]) ** 2)
    return loss


def authors_penalty(logits: np.ndarray) -> float:
    """What the authors' code multiplies by its coefficient."""
    return float(np.mean(logits**2))
