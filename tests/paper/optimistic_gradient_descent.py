"""Gradient descent with a guess of the next gradient."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

State = dict[str, np.ndarray]


def optimistic_gradient_descent(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    learning_rate: float,
    alpha: float = 1.0,
    beta: float = 1.0,
    weight_decay: float = 0.0,
) -> Iterator[tuple[np.ndarray, State]]:
    """Mokhtari et al. 2020, "A Unified Analysis of Extra-gradient and Optimistic Gradient Methods
    for Saddle Point Problems: Proximal Point Approach", arXiv:1901.08511v4.

    Generalized OGDA, x - (a + b) g + b g_previous with a = learning_rate * alpha and
    b = learning_rate * beta. The first step, which has no previous gradient, takes its own as in
    optax. `weight_decay` is not in the paper.
    """
    previous = None
    for g in gradients:
        a, b = learning_rate * alpha, learning_rate * beta
        previous = g if previous is None else previous
        update = -(a + b) * g + b * previous - learning_rate * weight_decay * x
        previous = g
        x = x + update
        yield update, {"previous_gradient": previous}
