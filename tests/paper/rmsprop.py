"""RMSProp, plain, centred and with momentum."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

State = dict[str, np.ndarray]


def rmsprop(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    learning_rate: float,
    decay: float = 0.9,
    eps: float = 1e-8,
    initial_scale: float = 0.0,
    eps_in_sqrt: bool = True,
    centered: bool = False,
    momentum: float | None = None,
    nesterov: bool = False,
    bias_correction: bool = False,
    weight_decay: float = 0.0,
) -> Iterator[tuple[np.ndarray, State]]:
    """Tieleman and Hinton 2012, lecture 6.5 of "Neural Networks for Machine Learning", slide 29.

    Centred: Graves 2013, "Generating Sequences With Recurrent Neural Networks", arXiv:1308.0850v5,
    equations 38 to 41, with eps under the root as in optax's default; torch adds it to the root
    (`eps_in_sqrt=False`). The momentum of optax runs over steps, learning rate included; with a
    constant rate that equals torch's. Weight decay does not pass through it.
    """
    m, v, trace = np.zeros_like(x), np.full_like(x, initial_scale), np.zeros_like(x)
    for t, g in enumerate(gradients, 1):
        m = decay * m + (1 - decay) * g
        v = decay * v + (1 - decay) * g**2
        correction = 1 - decay**t if bias_correction else 1.0
        variance = v / correction - (m / correction) ** 2 if centered else v / correction
        root = np.sqrt(variance + eps) if eps_in_sqrt else np.sqrt(variance) + eps
        step = -learning_rate * g / root
        state = {"mu": m, "nu": v} if centered else {"nu": v}
        if momentum is not None:
            trace = step + momentum * trace
            step = step + momentum * trace if nesterov else trace
            state["trace"] = trace
        update = step - learning_rate * weight_decay * x
        x = x + update
        yield update, state
