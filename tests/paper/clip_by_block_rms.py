"""Update clipping of Adafactor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np


def clip_by_block_rms(
    gradients: Iterable[np.ndarray], x: np.ndarray, *, threshold: float
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Shazeer and Stern 2018, "Adafactor", arXiv:1804.04235: U / max(1, RMS / d)."""
    del x
    for u in gradients:
        yield u / max(1.0, np.sqrt((u**2).sum() / u.size) / threshold), {}
