"""The running median of gradients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

State = dict[str, np.ndarray]


def running_median_gradient(
    gradients: Iterable[np.ndarray], x: np.ndarray, *, max_delta: float, norm: str = "l2"
) -> Iterator[tuple[np.ndarray, State]]:
    """Schaipp et al. 2024, "SGD with Clipping is Secretly Estimating the Median Gradient".

    arXiv:2402.12828v1. The proximal point of the distance to one gradient, in closed form.
    """
    mu = np.zeros_like(x)
    for g in gradients:
        gap = g - mu
        if norm == "l1":
            mu = mu + np.clip(gap, -max_delta, max_delta)
        else:
            mu = mu + gap * min(1.0, max_delta / max(np.linalg.norm(gap), 1e-300))
        yield mu, {"mu": mu}
