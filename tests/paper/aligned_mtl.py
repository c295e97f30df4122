"""Aligned-MTL: independent component alignment."""

from __future__ import annotations

import numpy as np


def aligned_mtl(matrix: np.ndarray, *, scale_mode: str = "min") -> np.ndarray:
    """Senushkin et al. 2023, arXiv:2305.19000, algorithm 1, with preferences of 1/m.

    All singular values are replaced by the least that is not zero. The other modes are torchjd's:
    the (lower) median, and the root of the mean square.
    """
    left, sigma, right = np.linalg.svd(matrix, full_matrices=False)
    inside = sigma > 1e-10 * sigma.max()
    values = np.sort(sigma[inside])
    scale = {
        "min": values[0],
        "median": values[(len(values) - 1) // 2],
        "rmse": np.sqrt(np.mean(values**2)),
    }[scale_mode]
    aligned = scale * left[:, inside] @ right[inside]
    return aligned.mean(axis=0)
