"""Grokfast with the mean over a window."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

State = dict[str, np.ndarray]


def grokfast_ma(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    window: int = 100,
    gain: float = 5.0,
    warmup: bool = True,
) -> Iterator[tuple[np.ndarray, State]]:
    """Lee et al. 2024, "Grokfast: Accelerated Grokking by Amplifying Slow Gradients".

    arXiv:2405.20233v2, Grokfast-MA. Gradients pass unchanged until the window is full, as in the
    authors' code.
    """
    del x
    recent: list[np.ndarray] = []
    for g in gradients:
        recent = [*recent, g][-window:]
        full = len(recent) == window
        yield (g + gain * np.mean(recent, axis=0) if full or not warmup else g), {}
