"""Gradient centralization."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np


def centralize(
    gradients: Iterable[np.ndarray], x: np.ndarray, *, unit_axis: int = 0
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Yong et al. 2020, "Gradient Centralization", arXiv:2004.01461, equation 1.

    The paper's weights are columns of a matrix; here each unit is a slice along `unit_axis`.
    """
    del x
    for g in gradients:
        if g.ndim < 2:
            yield g, {}
            continue
        units = np.moveaxis(g, unit_axis, 0)
        centred = np.stack([unit - unit.sum() / unit.size for unit in units])
        yield np.moveaxis(centred, 0, unit_axis), {}
