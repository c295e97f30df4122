"""Mirror descent by its definition, ∇φ(w) ← ∇φ(w) − η g."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np


def _signed_power(x: np.ndarray, exponent: float) -> np.ndarray:
    return np.sign(x) * np.abs(x) ** exponent


def mirror_descent(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    learning_rate: float,
    potential: str = "negative_entropy",
    p: float = 2.0,
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Pogodin et al., arXiv:2305.19394v2, with the gradients of their potentials and inverses.

    The negative entropy Σ |w| log |w| has the gradient (log |w| + 1) sign w.
    """
    for g in gradients:
        if potential == "negative_entropy":
            dual = (np.log(np.abs(x)) + 1) * np.sign(x) - learning_rate * g
            new = np.sign(x) * np.exp(dual * np.sign(x) - 1)
        else:
            new = _signed_power(_signed_power(x, p - 1) - learning_rate * g, 1 / (p - 1))
        yield new - x, {}
        x = new
