"""IMTL-G: impartial gradients."""

from __future__ import annotations

import numpy as np


def imtl_g(matrix: np.ndarray) -> np.ndarray:
    """Liu et al. 2021, "Towards Impartial Multi-task Learning", equation 6.

    alpha_2..T = g_1 U' (D U')^-1 with the rows u_1 - u_t of U and g_1 - g_t of D, for linearly
    independent gradients.
    """
    unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    u, d = unit[0] - unit[1:], matrix[0] - matrix[1:]
    rest = matrix[0] @ u.T @ np.linalg.inv(d @ u.T)
    return np.array([1 - rest.sum(), *rest]) @ matrix
