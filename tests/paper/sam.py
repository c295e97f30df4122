"""Sharpness-aware minimization around gradient descent."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

State = dict[str, np.ndarray]


def sam(
    gradient_fn: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    steps: int,
    *,
    rho: float,
    learning_rate: float,
    momentum: float = 0.0,
) -> Iterator[tuple[np.ndarray, State]]:
    """Foret et al. 2021, "Sharpness-Aware Minimization", arXiv:2010.01412v3, algorithm 1.

    Equation 2 with p = 2: ascend by rho along the normalised gradient, take the gradient there,
    descend with it from x. Two gradients a step; the inner rule is sgd with momentum. The paper's
    ascent is undefined where the gradient is zero; here it is zero there (packages add 1e-12 to the
    norm or return NaN). States: the gradient at the ascended point, and the trace.
    """
    trace = np.zeros_like(x)
    for _ in range(steps):
        g = gradient_fn(x)
        norm = np.sqrt(np.sum(g**2))
        ascended = gradient_fn(x + (rho * g / norm if norm > 0 else 0.0))
        trace = ascended + momentum * trace
        update = -learning_rate * trace
        x = x + update
        yield update, {"gradients_ascended": ascended, "trace": trace}
