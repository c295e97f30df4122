"""Alternating gradient descent."""

from __future__ import annotations

import numpy as np


def alternating_tasks(stacks: np.ndarray, *, steps_each: int):
    """Akbari et al. 2023: objectives take turns."""
    turn = 0
    for step, matrix in enumerate(stacks):
        if step and step % steps_each == 0:
            turn = (turn + 1) % len(matrix)
        yield matrix[turn]
