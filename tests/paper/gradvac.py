"""GradVac: gradient vaccine."""

from __future__ import annotations

import numpy as np


def gradvac(stacks: np.ndarray, orders: np.ndarray, *, b1: float = 0.5):
    """Wang et al. 2020, arXiv:2010.05874, algorithm 1 and equation 4; their beta is 1 - b1.

    orders[t, i] is the order in which gradient i of step t meets the others, itself skipped.
    """
    usual = np.zeros((stacks.shape[1], stacks.shape[1]))
    for matrix, order in zip(stacks, orders, strict=True):
        turned = matrix.copy()
        for i, others in enumerate(order):
            for j in others:
                if i == j:
                    continue
                size, other = np.linalg.norm(turned[i]), np.linalg.norm(matrix[j])
                phi, hat = turned[i] @ matrix[j] / (size * other), usual[i, j]
                if phi < hat:
                    lack = hat * np.sqrt(1 - phi**2) - phi * np.sqrt(1 - hat**2)
                    turned[i] = turned[i] + size * lack / (other * np.sqrt(1 - hat**2)) * matrix[j]
                usual[i, j] = b1 * hat + (1 - b1) * phi
        yield turned.sum(axis=0)
