"""Truncated and persistent evolution strategies: Vicol et al. 2021, algorithms 1 and 2.

`start` gives the first state, `unroll(state, theta)` the state and summed loss after K steps.
`noises` holds the perturbations of each unroll, one a row; each is used with both signs.
"""

import numpy as np


def evolution_strategies(noises, theta, *, start, unroll, unrolls, std):
    """Yields a gradient estimate for each unroll; `unrolls` make an inner problem."""
    for k, noise in enumerate(noises):
        if k % unrolls == 0:
            state = start()
        total = np.zeros_like(theta)
        for eps in [*noise, *(-noise)]:
            total += eps * unroll(state, theta + eps)[1]
        yield total / (2 * len(noise) * std**2)
        state, _ = unroll(state, theta)


def persistent_evolution_strategies(noises, theta, *, start, unroll, unrolls, std):
    """Yields a gradient estimate for each unroll; `unrolls` make an inner problem."""
    for k, noise in enumerate(noises):
        signed = [*noise, *(-noise)]
        if k % unrolls == 0:
            states = [start() for _ in signed]
            xi = [np.zeros_like(theta) for _ in signed]
        total = np.zeros_like(theta)
        for i, eps in enumerate(signed):
            states[i], loss = unroll(states[i], theta + eps)
            xi[i] = xi[i] + eps
            total += xi[i] * loss
        yield total / (2 * len(noise) * std**2)
