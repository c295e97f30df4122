"""Adaptive gradient clipping."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

State = dict[str, np.ndarray]


def unitwise_norm(w: np.ndarray, axis: int | tuple[int, ...] | None = None) -> np.ndarray:
    """The norm of all that feeds one output unit; weights are stored as (..., in, out)."""
    if axis is None:
        if np.squeeze(w).ndim <= 1:
            axis = tuple(range(w.ndim))
        else:
            axis = 0 if w.ndim in (2, 3) else tuple(range(w.ndim - 1))
    return np.sqrt(np.sum(w**2, axis=axis, keepdims=True))


def adaptive_grad_clip(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    clipping: float,
    eps: float = 1e-3,
    axis: int | tuple[int, ...] | None = None,
) -> Iterator[tuple[np.ndarray, State]]:
    """Brock et al. 2021, "High-Performance Large-Scale Image Recognition Without Normalization".

    arXiv:2102.06171v1, equation 3. The paper takes units along the rows of (out, in) weights; the
    weights of JAX are (in, out), so a unit of a matrix is a column, that of a vector is all of it
    (the paper's authors do so for biases and gains). A stack of three dimensions is reduced over
    its first axis only, as in optax. Parameters move by the clipped gradient, as stored curves do.
    """
    for g in gradients:
        norm = unitwise_norm(g, axis)
        most = clipping * np.maximum(unitwise_norm(x, axis), eps)
        update = np.where(norm < most, g, g * (most / np.maximum(norm, 1e-6)))
        x = x + update
        yield update, {}
