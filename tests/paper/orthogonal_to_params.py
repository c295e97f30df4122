"""Gradients orthogonal to the parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

State = dict[str, np.ndarray]


def orthogonal_to_params(
    gradients: Iterable[np.ndarray], x: np.ndarray, *, rescale: bool = False
) -> Iterator[tuple[np.ndarray, State]]:
    """Prieto et al. 2025, "Grokking at the Edge of Numerical Stability".

    arXiv:2501.04697v2, the projection of one tensor. The rescaling is that of the authors'
    OrthoGrad. Parameters move by the projected gradient, as stored curves do.
    """
    for g in gradients:
        update = g - (x.ravel() @ g.ravel()) / (x.ravel() @ x.ravel()) * x
        left = np.linalg.norm(update)
        if rescale and left > 0:
            update = update * np.linalg.norm(g) / left
        x = x + update
        yield update, {}
