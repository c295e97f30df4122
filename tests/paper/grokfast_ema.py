"""Grokfast with an exponential average."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

State = dict[str, np.ndarray]


def grokfast_ema(
    gradients: Iterable[np.ndarray], x: np.ndarray, *, decay: float = 0.98, gain: float = 2.0
) -> Iterator[tuple[np.ndarray, State]]:
    """Lee et al. 2024, "Grokfast: Accelerated Grokking by Amplifying Slow Gradients".

    arXiv:2405.20233v2, Grokfast-EMA. The average starts at the first gradient, as in the authors'
    code.
    """
    del x
    mu = None
    for g in gradients:
        mu = decay * (g if mu is None else mu) + (1 - decay) * g
        yield g + gain * mu, {"mu": mu}
