"""Descent on a surrogate in the space of outputs, with heavy-ball descent inside."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]


def target_space_surrogate(
    outputs: Function,
    jacobian: Function,
    output_gradient: Function,
    x: np.ndarray,
    steps: int,
    *,
    learning_rate: float,
    momentum: float,
    eta: float,
    inner_steps: int,
) -> Iterator[np.ndarray]:
    """Lavington et al. 2023, arXiv:2302.02607: m steps on l(z) + <l'(z), z' - z> + |z' - z|^2 /
    (2 eta), with z' the outputs of the parameters that move."""
    trace = np.zeros_like(x)
    for _ in range(steps):
        z = outputs(x)
        slope = output_gradient(z)
        y = x
        for _ in range(inner_steps):
            pull = slope + (outputs(y) - z) / eta
            trace = momentum * trace + jacobian(y).T @ pull
            y = y - learning_rate * trace
        yield y - x
        x = y
