"""ADOPT."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

State = dict[str, np.ndarray]


def adopt(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    learning_rate: float,
    b1: float = 0.9,
    b2: float = 0.9999,
    eps: float = 1e-6,
    nesterov: bool = False,
    use_clipping: bool = True,
    clip_value_fn: Callable[[int], float] = lambda t: t**0.25,
    weight_decay: float = 0.0,
) -> Iterator[tuple[np.ndarray, State]]:
    """Taniguchi et al. 2024, "ADOPT: Modified Adam Can Converge with Any beta_2 ...".

    arXiv:2411.02853v3, the clipped algorithm that came with version 2; `use_clipping=False` is that
    of version 1. The first gradient starts v and moves nothing; it is number 0, so that the first
    bound is 1 ** 0.25. Each gradient is divided by the root of the average before it. `nesterov` is
    optax's. Weight decay, decoupled as everywhere in this package, acts at every step, the first
    included; the authors' code skips it there.
    """
    m, v = np.zeros_like(x), np.zeros_like(x)
    for t, g in enumerate(gradients):
        direction = m
        if t == 0:
            v = g**2
        else:
            normed = g / np.maximum(np.sqrt(v), eps)
            if use_clipping:
                normed = np.clip(normed, -clip_value_fn(t), clip_value_fn(t))
            m = b1 * m + (1 - b1) * normed
            direction = b1 * m + (1 - b1) * normed if nesterov else m
            v = b2 * v + (1 - b2) * g**2
        update = -learning_rate * (direction + weight_decay * x)
        x = x + update
        yield update, {"mu": m, "nu": v}
