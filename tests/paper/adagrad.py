"""AdaGrad, diagonal version."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

State = dict[str, np.ndarray]


def adagrad(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    learning_rate: float,
    initial_accumulator_value: float = 0.1,
    eps: float = 1e-7,
    weight_decay: float = 0.0,
) -> Iterator[tuple[np.ndarray, State]]:
    """Duchi, Hazan and Singer 2011, "Adaptive Subgradient Methods", JMLR 12, pages 2121 to 2159.

    Figure 1 with the identity as proximal term and no regulariser. The paper starts the sum at zero
    and adds a delta outside the root. optax's defaults, taken here, start at 0.1 and put eps under
    the root; where the sum is zero the step is zero. torch starts at zero, eps outside.
    """
    total = np.full_like(x, initial_accumulator_value)
    for g in gradients:
        total = total + g**2
        scale = np.divide(1.0, np.sqrt(total + eps), out=np.zeros_like(x), where=total > 0)
        update = -learning_rate * (scale * g + weight_decay * x)
        x = x + update
        yield update, {"sum_of_squares": total}
