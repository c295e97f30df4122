"""Clipping by the norm of the whole gradient."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

State = dict[str, np.ndarray]


def clip_by_global_norm(
    gradients: Iterable[np.ndarray], x: np.ndarray, *, max_norm: float
) -> Iterator[tuple[np.ndarray, State]]:
    """Pascanu, Mikolov and Bengio 2013, "On the difficulty of training Recurrent Neural Networks".

    arXiv:1211.5063v2, algorithm 1. One array is a whole tree here. torch adds 1e-6 to the norm.
    """
    del x
    for g in gradients:
        norm = np.sqrt(np.sum(g**2))
        yield (g if norm < max_norm else g / norm * max_norm), {}
