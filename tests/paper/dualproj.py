"""DualProj: the mean projected onto the dual cone of the gradients."""

from __future__ import annotations

import numpy as np

from tests.paper.upgrad import nonnegative_least_squares


def dualproj(matrix: np.ndarray) -> np.ndarray:
    """Lopez-Paz and Ranzato 2017, arXiv:1706.08840, equation 11, for the mean gradient.

    The nearest x to the mean with J x >= 0 is the mean plus z J for the z >= 0 that makes it
    shortest.
    """
    mean = matrix.mean(axis=0)
    return mean + nonnegative_least_squares(matrix.T, -mean) @ matrix
