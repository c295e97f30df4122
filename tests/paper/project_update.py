"""Adaptive projected guidance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

State = dict[str, np.ndarray]


def guided(
    conditional: np.ndarray,
    difference: np.ndarray,
    average: np.ndarray,
    *,
    scale: float,
    eta: float,
    radius: float,
    beta: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Sadat et al. 2024, arXiv:2410.02416v2, Algorithm 1: the guided prediction of one image."""
    average = difference + beta * average
    d = average * min(1.0, radius / np.linalg.norm(average)) if average.any() else average
    unit = conditional / np.linalg.norm(conditional)
    parallel = (d * unit).sum() * unit
    return conditional + (scale - 1) * (d - parallel + eta * parallel), average


def project_update(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    parallel: float,
    max_norm: float,
    momentum: float,
) -> Iterator[tuple[np.ndarray, State]]:
    """The same as updates of x, which plays the part of the conditional prediction."""
    trace = np.zeros_like(x)
    settings = {"scale": 2.0, "eta": parallel, "radius": max_norm, "beta": momentum}
    for g in gradients:
        new, trace = guided(x, g, trace, **settings)
        update = new - x
        x = new
        yield update, {"trace": trace}
