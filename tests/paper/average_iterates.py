"""An exponential average of the iterates of gradient descent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np


def average_iterates(
    gradients: Iterable[np.ndarray], x: np.ndarray, *, learning_rate: float, decay: float
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Block et al. 2023, "Butterfly Effects of SGD Noise", arXiv:2310.11428v1, section 4.

    The average starts at the initial parameters.
    """
    average = x.copy()
    for g in gradients:
        update = -learning_rate * g
        x = x + update
        average = decay * average + (1 - decay) * x
        yield update, {"average": average}
