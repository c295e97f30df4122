"""FOSI around heavy-ball descent, with exact eigenpairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]


def fosi(
    gradient: Function,
    hessian: Function,
    x: np.ndarray,
    steps: int,
    *,
    learning_rate: float,
    momentum: float,
    alpha: float,
    b1: float,
    max_scale: float,
    largest: int,
    smallest: int,
    every: int,
    warmup: int,
) -> Iterator[np.ndarray]:
    """Sivan et al. 2024, arXiv:2302.08484v4, the update step of the algorithm.

    The average of the gradient in the span and the scale of the base optimizer are those of the
    authors' code: `momentum_func` of `fosi_adam`, and `scaling_factor`.
    """
    size = x.size
    values, vectors = np.zeros(largest + smallest), np.zeros((largest + smallest, size))
    average, trace = np.zeros(size), np.zeros(size)
    for t in range(steps):
        if t >= warmup and (t - warmup) % every == 0:
            spectrum, columns = np.linalg.eigh(hessian(x))
            chosen = [*range(smallest), *range(size - largest, size)]
            values, vectors = spectrum[chosen], columns.T[chosen]
        rates = np.where(values == 0, 0, 1 / np.where(values == 0, 1, np.abs(values)))
        g = gradient(x).ravel()
        g1 = vectors.T @ (vectors @ g)
        g2 = g - g1
        average = b1 * average + (1 - b1) * g1
        newton = vectors.T @ (rates * (vectors @ average))
        trace = momentum * trace + g2
        base = -learning_rate * trace
        base = base - vectors.T @ (vectors @ base)
        scale = np.clip(values[-1] / values[smallest], 1, max_scale) if values.any() else 1
        update = (scale * base - alpha * newton).reshape(x.shape)
        x = x + update
        yield update
