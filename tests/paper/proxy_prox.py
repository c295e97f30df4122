"""ProxyProx with heavy-ball descent on the proxy."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]


def proxy_prox(
    gradient: Function,
    proxy: Function,
    x: np.ndarray,
    steps: int,
    *,
    learning_rate: float,
    momentum: float,
    eta: float,
    inner_steps: int,
) -> Iterator[np.ndarray]:
    """Woodworth et al. 2023, arXiv:2302.03542: inexact proximal steps on the proxy.

    `proxy` is the gradient of h. The subproblem of x is h(y) + <f'(x) - h'(x), y> + |y - x|^2 /
    (2 eta).
    """
    trace = np.zeros_like(x)
    for _ in range(steps):
        correction = gradient(x) - proxy(x)
        y = x
        for _ in range(inner_steps):
            trace = momentum * trace + proxy(y) + correction + (y - x) / eta
            y = y - learning_rate * trace
        yield y - x
        x = y
