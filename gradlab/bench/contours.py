"""Level lines of a function sampled on a grid, by marching squares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Point = tuple[float, float]

_EDGES = {
    1: ((3, 0),), 2: ((0, 1),), 3: ((3, 1),), 4: ((1, 2),), 6: ((0, 2),), 7: ((3, 2),),
    8: ((2, 3),), 9: ((0, 2),), 11: ((1, 2),), 12: ((1, 3),), 13: ((0, 1),), 14: ((3, 0),),
    5: ((3, 0), (1, 2)), 10: ((0, 1), (2, 3)),
}  # fmt: skip
"""For each pattern of corners above the level, the pairs of cell edges that a line crosses."""

_CORNERS = ((0, 0), (0, 1), (1, 1), (1, 0))
"""Corners (row, column) of a cell; edge `k` runs from corner `k` to the next one."""


def contour_levels(values: np.ndarray, count: int) -> list[float]:
    """Levels that leave about equal areas between them, so that valleys and walls both show.

    Args:
        values: the sampled function, `[rows, columns]`.
        count: number of levels.

    Returns:
        Ascending levels inside the range of the values.
    """
    shares = (np.arange(count) + 0.8) / count
    finite = values[np.isfinite(values)]
    return sorted({float(level) for level in np.quantile(finite, shares**1.5)})


def contour(values: np.ndarray, xs: Sequence[float], ys: Sequence[float], level: float):
    """The lines along which a sampled function has one value.

    Args:
        values: the function at `(ys[row], xs[column])`, `[rows, columns]`.
        xs: coordinates of the columns, ascending.
        ys: coordinates of the rows, ascending.
        level: the value.

    Returns:
        A list of lines, each a list of `(x, y)` points; a closed line repeats its first point.
    """
    links: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for row, column, pattern in _crossed_cells(values, level):
        for pair in _EDGES[pattern]:
            first, second = (_edge(row, column, side) for side in pair)
            links.setdefault(first, []).append(second)
            links.setdefault(second, []).append(first)
    return [[_crossing(values, xs, ys, level, edge) for edge in chain] for chain in _chains(links)]


def _crossed_cells(values: np.ndarray, level: float) -> list[tuple[int, int, int]]:
    above = values > level
    rows, columns = values.shape
    pattern = np.zeros((rows - 1, columns - 1), dtype=int)
    for bit, (dy, dx) in enumerate(_CORNERS):
        pattern += above[dy : rows - 1 + dy, dx : columns - 1 + dx] << bit
    found = np.argwhere((pattern > 0) & (pattern < 15))
    return [(int(r), int(c), int(pattern[r, c])) for r, c in found]


def _edge(row: int, column: int, side: int) -> tuple[int, ...]:
    """A cell edge as its two grid nodes in a fixed order, so that neighbours agree on it."""
    nodes = [(row + dy, column + dx) for dy, dx in (_CORNERS[side], _CORNERS[(side + 1) % 4])]
    first, second = sorted(nodes)
    return (*first, *second)


def _crossing(values, xs, ys, level: float, edge: tuple[int, ...]) -> Point:
    r0, c0, r1, c1 = edge
    low, high = float(values[r0, c0]), float(values[r1, c1])
    share = 0.5 if high == low else (level - low) / (high - low)
    return (
        float(xs[c0] + share * (xs[c1] - xs[c0])),
        float(ys[r0] + share * (ys[r1] - ys[r0])),
    )


def _chains(links: dict[tuple[int, ...], list[tuple[int, ...]]]) -> list[list[tuple[int, ...]]]:
    """Walk the links, open lines from their ends first, then what is left in circles."""
    chains = []
    ends = [edge for edge, others in links.items() if len(others) == 1]
    for start in [*ends, *links]:
        while links[start]:
            chain, edge = [start], start
            while links[edge]:
                following = links[edge].pop()
                links[following].remove(edge)
                chain.append(following)
                edge = following
            chains.append(chain)
    return chains
