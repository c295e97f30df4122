"""Decaying N:M sparsity."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np


def n_of_m(w: np.ndarray, n: int, m: int) -> np.ndarray:
    """The binary mask of (inputs, outputs): the authors sort groups of a row of inputs."""
    groups = np.abs(w.T).reshape(-1, m)
    mask = np.ones(groups.shape)
    for row, group in zip(mask, groups, strict=True):
        row[np.argsort(-group, kind="stable")[n:]] = 0
    return mask.reshape(w.T.shape).T


def effective(w: np.ndarray, t: int, *, n: int, m: int, rate: float, decay: str) -> np.ndarray:
    """The weights of the forward pass: w * (mask + (1 - mask) * decay value)."""
    value = max(1.0 - rate * t, 0.0) if decay == "linear" else np.exp(-rate * t)
    mask = n_of_m(w, n, m)
    return w * (mask + (1 - mask) * value)


def progressive_gradient_flow(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    n: int,
    m: int,
    rate: float,
    decay: str,
    pruned_decay: float,
    straight_through: bool,
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Bambhaniya et al. 2024, arXiv:2402.04744, with the decay term of SR-STE.

    Gradients are those by the effective weights, passed on whole in the authors' code, or by
    the chain rule. `pruned_decay` is the factor of SR-STE.
    """
    for t, g in enumerate(gradients):
        mask = n_of_m(x, n, m)
        value = max(1.0 - rate * t, 0.0) if decay == "linear" else np.exp(-rate * t)
        flow = 1.0 if straight_through else mask + (1 - mask) * value
        update = g * flow + pruned_decay * (1 - mask) * x
        x = x + update
        yield update, {}
