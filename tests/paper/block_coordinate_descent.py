"""Beck and Tetruashvili, SIAM J. Optimization 23, 2013, with operators as in Tseng, 2001."""

from __future__ import annotations

import numpy as np


def block_coordinate_descent(f, slope, prox, x, blocks, *, lipschitz, increase, steps):
    """Yields x after each cycle over the blocks, and the estimates L of all blocks.

    Args:
      f: the smooth part.
      slope: its gradient.
      prox: of a block and of λ / L.
      x: where to start.
      blocks: for each block the positions of its numbers.
      lipschitz: the first estimate of every L.
      increase: what L is multiplied by until the quadratic upper bound holds.
      steps: how many cycles.
    """
    x, estimates = np.array(x, np.float64), np.full(len(blocks), float(lipschitz))
    for _ in range(steps):
        for i, block in enumerate(blocks):
            g = slope(x)[block]
            while True:
                y = x.copy()
                y[block] = prox(x[block] - g / estimates[i], 1 / estimates[i])
                d = y[block] - x[block]
                bound = f(x) + g @ d + estimates[i] / 2 * d @ d
                if f(y) <= bound + 10 * np.finfo(float).eps * abs(f(x)):
                    break
                estimates[i] *= increase
            x = y
        yield x, estimates.copy()


def greedy(slope, prox, x, *, lipschitz, visits):
    """Nutini et al., arXiv:1506.00552: the coordinate that the residual says, a step of 1 / L."""
    x = np.array(x, np.float64)
    for _ in range(visits):
        i = np.argmax(np.abs(x - prox(x - slope(x), 1.0)))
        x[i] = prox(x[i] - slope(x)[i] / lipschitz, 1 / lipschitz)
        yield x.copy()
