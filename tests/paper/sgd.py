"""Stochastic gradient descent, with the momentum of Polyak or Nesterov."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

State = dict[str, np.ndarray]


def sgd(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    learning_rate: float,
    momentum: float | None = None,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> Iterator[tuple[np.ndarray, State]]:
    """Sutskever et al. 2013, "On the importance of initialization and momentum in deep learning".

    Equations 1 and 2 (momentum) and 3 and 4 (Nesterov), with two differences that optax and torch
    share: the velocity holds gradients, not steps (`trace = g + momentum * trace`, the learning
    rate is applied afterwards), and Nesterov's gradient is taken at `x`, with the look-ahead folded
    into the update `g + momentum * trace` (Bengio et al. 2012, arXiv:1212.0901v2).
    """
    trace = np.zeros_like(x)
    for g in gradients:
        if momentum is None:
            direction, state = g, {}
        else:
            trace = g + momentum * trace
            direction = g + momentum * trace if nesterov else trace
            state = {"trace": trace}
        update = -learning_rate * (direction + weight_decay * x)
        x = x + update
        yield update, state
