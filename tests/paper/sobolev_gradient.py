"""Sobolev gradients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np


def symbol(shape: tuple[int, ...], length: float) -> np.ndarray:
    """1 + |l omega|^2 at the frequencies of a periodic grid, written out."""
    total = np.ones(shape)
    for index in np.ndindex(shape):
        for k, n in zip(index, shape, strict=True):
            signed = k if k < (n + 1) // 2 else k - n
            total[index] += (length * 2 * np.pi * signed / n) ** 2
    return total


def sobolev_gradient(
    gradients: Iterable[np.ndarray], x: np.ndarray, *, order: float, length: float
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Zhu et al. 2022, arXiv:2109.06255v2: (I - l^2 Laplacian)^(-s) applied to a gradient."""
    weight = symbol(x.shape, length) ** -order
    for g in gradients:
        yield np.fft.ifftn(np.fft.fftn(g) * weight).real, {}
