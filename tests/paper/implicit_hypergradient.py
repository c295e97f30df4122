"""Lorraine, Vicol and Duvenaud, arXiv:1911.02590v1, algorithms 2 and 3."""

from __future__ import annotations

import numpy as np


def implicit_hypergradient(direct, slope, mixed, hessian, *, learning_rate, steps):
    """From ∂L_V/∂λ, ∂L_V/∂w, ∂²L_T/∂λ∂w and ∂²L_T/∂w² to dL_V/dλ.

    The signs of the sum and the factor in front of it are those of the Neumann series.
    """
    v1 = np.asarray(slope, np.float64)
    v2 = approximate_inverse_product(v1, hessian, learning_rate, steps)
    v3 = mixed @ v2
    return direct - v3


def approximate_inverse_product(v, hessian, alpha, i):
    p = v
    for _ in range(i):
        v = v - alpha * (hessian @ v)
        p = p + v
    return alpha * p
