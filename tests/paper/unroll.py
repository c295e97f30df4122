"""Hypergradients of momentum on quadratics with moving targets, in forward mode."""

from __future__ import annotations

import numpy as np


def unroll(targets, x, curvature, outer_target, *, learning_rate, momentum, truncation=None):
    """Franceschi et al. 2017, arXiv:1703.01785, algorithm 2, on its example, gradient descent with
    momentum: the state is (v, w), and Z = ds/dlambda obeys Z <- A Z + B.

    The loss of step t is 1/2 sum_i a_i (w_i - b_ti)^2, the outer one 1/2 |w - c|^2. With a
    truncation, Z is zero until so many steps before the end.

    Returns:
      The derivative of the outer loss in (learning_rate, momentum), and the last w.
    """
    size, steps = len(x), len(targets)
    v, w = np.zeros(size), np.array(x, np.float64)
    z = np.zeros((2 * size, 2))
    identity, nothing = np.eye(size), np.zeros((size, size))
    for t, b in enumerate(targets):
        if truncation is not None and t == steps - truncation:
            z = np.zeros_like(z)
        hessian = np.diag(curvature)
        slope = curvature * (w - b)
        dv = np.hstack([momentum * identity, hessian])  # v' = mu v + slope(w)
        dw = np.hstack([nothing, identity]) - learning_rate * dv  # w' = w - eta v'
        new_v = momentum * v + slope
        direct = np.stack([np.r_[np.zeros(size), -new_v], np.r_[v, -learning_rate * v]], axis=1)
        z = np.vstack([dv, dw]) @ z + direct
        v, w = new_v, w - learning_rate * new_v
    return (w - outer_target) @ z[size:], w
