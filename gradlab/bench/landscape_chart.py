"""Paths of optimizers over the level lines of a two-dimensional landscape."""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from gradlab import problems
from gradlab.bench import formats, svg
from gradlab.bench.charts import series
from gradlab.bench.contours import contour, contour_levels
from gradlab.bench.results import Results, Trajectory

GRID = 96
LEVELS = 14


def landscape_chart(results: Results, name: str) -> str:
    """The paths recorded on one landscape, its level lines and its known minima.

    Args:
        results: the study.
        name: name of the landscape; one that gradlab does not know is drawn without level lines.

    Returns:
        The chart as SVG; empty where no path was recorded.
    """
    paths = [path for path in results.trajectories if path.landscape == name]
    if not paths:
        return ""
    known = problems.landscape(name) if name in problems.landscape_names() else None
    domain = known.domain if known else _bounds(paths)
    chart = svg.Chart(540, 400, f"Paths on {landscape_title(name)}", (34, 10, 10, 26))
    x, y = chart.x_scale(*domain[0]), chart.y_scale(*domain[1])
    if known:
        chart.add(_level_lines(known, x, y))
    chart.x_axis(x, most=6)
    chart.y_axis(y, most=6)
    for path in _baseline_last(results, paths):
        chart.add(series(results, path.optimizer, *_path_marks(path, x, y), clip=True))
    for minimum in known.minimisers if known else ():
        chart.add(svg.cross(x(minimum[0]), y(minimum[1]), 5, "minimum", "minimum"))
    start = paths[0].points[0]
    chart.add(svg.dot(x(start[0]), y(start[1]), 4, "start", "start"))
    return chart.svg()


def landscape_title(name: str) -> str:
    """The title of a landscape that gradlab knows, else its name."""
    return problems.landscape(name).title if name in problems.landscape_names() else name


def _level_lines(known: problems.Landscape, x: svg.Scale, y: svg.Scale) -> str:
    xs, ys = (np.linspace(low, high, GRID) for low, high in known.domain)
    grid = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    values = np.asarray(jax.vmap(known.function)(jnp.asarray(grid)), dtype=np.float64).reshape(
        GRID, GRID
    )
    # Between two nodes of the grid the logarithm of a deep valley is closer to a straight line.
    heights = np.maximum(values - known.minimum, 0)
    values = np.log(heights + 1e-3 * np.median(heights))
    lines = [
        svg.path([(x(px), y(py)) for px, py in line], "level")
        for level in contour_levels(values, LEVELS)
        for line in contour(values, xs.tolist(), ys.tolist(), level)
    ]
    return svg.group("levels", *lines, clip=True)


def _path_marks(path: Trajectory, x: svg.Scale, y: svg.Scale) -> list[str]:
    points = [(x(px), y(py)) for px, py in path.points if math.isfinite(px) and math.isfinite(py)]
    finite = path.values[np.isfinite(path.values)]
    last = formats.number(float(finite[-1])) if finite.size else "nothing finite"
    tip = f"{path.optimizer}, rate {formats.rate(path.learning_rate)}: {last} at the end"
    return [svg.path(points, "line path"), svg.dot(*points[-1], 3.6, "dot"), svg.title(tip)]


def _bounds(paths: Sequence[Trajectory]):
    points = np.concatenate([path.points for path in paths])
    points = points[np.all(np.isfinite(points), axis=1)]
    low, high = points.min(axis=0), points.max(axis=0)
    pad = 0.05 * np.maximum(high - low, 1e-9)
    (x0, y0), (x1, y1) = low - pad, high + pad
    return ((float(x0), float(x1)), (float(y0), float(y1)))


def _baseline_last(results: Results, paths: Sequence[Trajectory]) -> list[Trajectory]:
    return sorted(paths, key=lambda path: path.optimizer == results.baseline)
