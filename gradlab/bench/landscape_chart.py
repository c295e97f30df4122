"""Paths of optimizers over the level lines of a two-dimensional landscape."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import plotly.graph_objects as go

from gradlab import problems
from gradlab.bench import formats, theme
from gradlab.bench.results import Results, Trajectory

GRID = 80
LEVELS = 14


def landscape_chart(results: Results, name: str) -> go.Figure | None:
    """The paths recorded on one landscape, its level lines and its known minima.

    Args:
        results: the study.
        name: name of the landscape; one that gradlab does not know is drawn without level lines.

    Returns:
        The figure; None where no path was recorded.
    """
    paths = {path.optimizer: path for path in results.trajectories if path.landscape == name}
    if not paths:
        return None
    known = problems.landscape(name) if name in problems.landscape_names() else None
    domain = known.domain if known else _bounds(list(paths.values()))
    chart = theme.figure(
        f"Paths on {landscape_title(name)}", 420,
        margin={"l": 34, "r": 8, "t": 8, "b": 28},
        xaxis={"range": list(domain[0]), "nticks": 6, "showgrid": known is None},
        yaxis={"range": list(domain[1]), "nticks": 6, "showgrid": known is None},
    )  # fmt: skip
    if known:
        chart.add_trace(_levels(known))
    for label in theme.last_on_top(results, paths):
        chart.add_traces(_path_traces(results, paths[label]))
    start = next(iter(paths.values())).points[0]
    chart.add_trace(_points("start", [start], {"symbol": "circle", "size": 9}))
    if known and known.minimisers:
        cross = {"symbol": "x-thin", "size": 9, "line": {"width": 2.4, "color": theme.LIGHT["ink"]}}
        chart.add_trace(_points("minimum", known.minimisers, cross))
    return chart


def landscape_title(name: str) -> str:
    """The title of a landscape that gradlab knows, else its name."""
    return problems.landscape(name).title if name in problems.landscape_names() else name


def _levels(known: problems.Landscape) -> go.Contour:
    xs, ys = (np.linspace(low, high, GRID) for low, high in known.domain)
    grid = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    values = np.asarray(jax.vmap(known.function)(jnp.asarray(grid)), dtype=np.float64)
    # Between two nodes of the grid the logarithm of a deep valley is closer to a straight line.
    heights = np.maximum(values - known.minimum, 0).reshape(GRID, GRID)
    heights = np.log(heights + 1e-3 * np.median(heights))
    low, high = float(np.quantile(heights, 0.005)), float(heights.max())
    return go.Contour(
        x=theme.compact(xs),
        y=theme.compact(ys),
        z=theme.compact(heights),
        contours={"start": low, "end": high, "size": (high - low) / LEVELS},
        autocontour=False,
        colorscale=[[0, theme.LIGHT["sheet"]], [1, theme.LIGHT["high"]]],
        line={"color": theme.LIGHT["sheet"], "width": 0.8},
        showscale=False,
        hoverinfo="skip",
        name="levels",
    )


def _path_traces(results: Results, path: Trajectory) -> list[go.Scatter]:
    points = path.points[np.all(np.isfinite(path.points), axis=1)]
    finite = path.values[np.isfinite(path.values)]
    last = formats.number(float(finite[-1])) if finite.size else "nothing finite"
    tip = (
        f"{theme.text(path.optimizer)}, rate {formats.rate(path.learning_rate)}: {last} at the end"
    )
    hue = theme.color(results, path.optimizer)
    common = {"hovertemplate": f"{tip}<extra></extra>"}
    line = theme.series(
        results, path.optimizer, "path",
        x=theme.compact(points[:, 0]), y=theme.compact(points[:, 1]),
        mode="lines", line={"color": hue, "width": 1.8}, **common,
    )  # fmt: skip
    end = theme.series(
        results, path.optimizer, "end",
        x=theme.compact(points[-1:, 0]), y=theme.compact(points[-1:, 1]),
        mode="markers", marker={"color": hue, "size": 8}, **common,
    )  # fmt: skip
    return [line, end]


def _points(name: str, points: Sequence, marker: dict) -> go.Scatter:
    x, y = theme.compact(np.asarray(points)).T
    return go.Scatter(
        x=x, y=y, name=name, mode="markers", hovertemplate=f"{name}<extra></extra>",
        marker={"color": theme.LIGHT["ink"], **marker},
    )  # fmt: skip


def _bounds(paths: Sequence[Trajectory]) -> tuple[tuple[float, float], tuple[float, float]]:
    points = np.concatenate([path.points for path in paths])
    points = points[np.all(np.isfinite(points), axis=1)]
    low, high = points.min(axis=0), points.max(axis=0)
    pad = 0.05 * np.maximum(high - low, 1e-9)
    (x0, y0), (x1, y1) = low - pad, high + pad
    return ((float(x0), float(x1)), (float(y0), float(y1)))
