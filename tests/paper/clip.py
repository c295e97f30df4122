"""Clipping of coordinates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np


def clip(
    gradients: Iterable[np.ndarray], x: np.ndarray, *, max_delta: float
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """The documented behaviour of `optax.clip`: coordinates in [-max_delta, max_delta]."""
    del x
    for g in gradients:
        yield np.where(np.abs(g) > max_delta, np.sign(g) * max_delta, g), {}
