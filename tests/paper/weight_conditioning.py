"""Weight conditioning."""

from __future__ import annotations

import numpy as np


def weight_conditioning(w: np.ndarray) -> np.ndarray:
    """Saratchandran et al. 2024, arXiv:2409.03424v2: row equilibration of (outputs, inputs)."""
    return np.diag(1 / np.sqrt(np.sum(w**2, axis=1))) @ w
