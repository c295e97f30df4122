"""Learning curves: the metric along training with an interval over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from gradlab.bench import formats, theme
from gradlab.bench.charts import MEASURE_TITLES, metric_title
from gradlab.bench.intervals import mean_interval
from gradlab.bench.results import Results
from gradlab.bench.rows import Row, row_trials
from gradlab.bench.score import Score

LOG_FROM = 4.0
"""A metric that falls by more than this factor is drawn on a logarithmic axis."""


@dataclass(frozen=True)
class _Curve:
    """Steps `[n]`, the metric of every seed there `[seeds, n]`, and the cost of one step."""

    steps: np.ndarray
    values: np.ndarray
    units: dict[str, float | None]

    def center(self, log: bool) -> np.ndarray:
        """The mean over seeds, geometric where `log` is set; NaN where a seed has none."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.exp(np.log(self.values).mean(axis=0)) if log else self.values.mean(axis=0)

    def ends(self, log: bool) -> np.ndarray:
        """Lower and upper end of the interval `[n, 2]`; NaN where there is none."""
        with np.errstate(invalid="ignore", divide="ignore"):
            table = np.log(self.values) if log else self.values
        intervals = [mean_interval(column) for column in table.T]
        pairs = [(i.low, i.high) if i.finite else (math.nan, math.nan) for i in intervals]
        return np.exp(np.array(pairs)) if log else np.array(pairs)


def learning_curves(results: Results, score: Score, problem: str) -> go.Figure | None:
    """The metric along training at each optimizer's tuned rate, mean and interval over seeds.

    On a logarithmic axis the mean is geometric and the interval belongs to the logarithms.

    Args:
        results: the study.
        score: its score.
        problem: name of the problem.

    Returns:
        The figure against steps. Each trace keeps in `meta` what one step costs in every measure,
        and `layout.meta["measures"]` the measures and their titles, so that the page can change
        the axis. None where nothing has been evaluated.
    """
    curves = _curves(results, score, problem)
    if not curves:
        return None
    info = results.problem(problem)
    axis = _metric_axis(curves, info.target)
    known = {m: t for m, t in MEASURE_TITLES.items()
             if any(curve.units[m] is not None for curve in curves.values())}  # fmt: skip
    chart = theme.figure(
        f"Learning curves on {info.title}", 430,
        meta={"measures": known},
        margin={"l": 48, "r": 12, "t": 30, "b": 44},
        hovermode="x unified",
        showlegend=True,
        legend={"tracegroupgap": 0, "x": 1.01, "y": 1, "font": {"size": 13}, "itemwidth": 30},
        xaxis={"title": {"text": MEASURE_TITLES["steps"]}, "rangemode": "tozero",
               "tickformat": "~g"},
        yaxis=axis,
        annotations=[theme.heading(0, theme.text(metric_title(results, problem)))],
        shapes=[_target(info.target)],
    )  # fmt: skip
    ranks = _ranks(curves, axis["type"] == "log")
    for label in theme.last_on_top(results, curves):
        for trace in _traces(results, label, curves[label], axis["type"] == "log"):
            chart.add_trace(trace.update(legendrank=ranks[label]))
    return chart


def _curves(results: Results, score: Score, problem: str) -> dict[str, _Curve]:
    """The curves of the tuned rows, as far as all seeds of a row were evaluated."""
    curves = {}
    for row in score.tuned:
        trials = row_trials(results, row) if row.problem == problem else ()
        length = min((trial.steps.size for trial in trials), default=0)
        if length:
            values = np.stack([trial.values[:length] for trial in trials])
            curves[row.optimizer] = _Curve(next(iter(trials)).steps[:length], values, _units(row))
    return curves


def _units(row: Row) -> dict[str, float | None]:
    units = {
        "steps": 1,
        "gradient_evaluations": row.gradients_per_step,
        "seconds": row.seconds_per_step,
    }
    return {measure: None if math.isnan(unit) else unit for measure, unit in units.items()}


def _metric_axis(curves: Mapping[str, _Curve], target: float) -> dict:
    """An axis from the lowest mean to the highest start."""
    means = np.concatenate([curve.center(False) for curve in curves.values()])
    finite = [float(value) for value in means if math.isfinite(value)] + [target]
    starts = [float(curve.center(False)[0]) for curve in curves.values()]
    low = min(finite)
    high = max([s for s in starts if math.isfinite(s)] + [target, low + 1e-12])
    log = low > 0 and high / low > LOG_FROM
    if log:
        ends = low / (high / low) ** 0.06, high * (high / low) ** 0.02
    else:
        ends = low - 0.06 * (high - low), high + 0.02 * (high - low)
    return theme.scale(*ends, log)


def _ranks(curves: Mapping[str, _Curve], log: bool) -> dict[str, int]:
    """Places in the legend: the curve that ends highest stands first, as it does in the chart."""
    ends = {}
    for label, curve in curves.items():
        center = curve.center(log)
        ends[label] = float(center[-1]) if math.isfinite(center[-1]) else math.inf
    order = sorted(curves, key=lambda label: -ends[label])
    return {label: rank for rank, label in enumerate(order, start=1)}


def _traces(results: Results, label: str, curve: _Curve, log: bool) -> list[go.Scatter]:
    """The interval as an area and the mean as a line."""
    center, ends = curve.center(log), curve.ends(log)
    known = np.flatnonzero(np.all(np.isfinite(ends), axis=1))
    hue = theme.color(results, label)
    base = label == results.baseline
    common = {"meta": curve.units, "legendgroup": label}
    area = np.concatenate([known, known[::-1]])
    sides = np.concatenate([ends[known, 1], ends[known[::-1], 0]])
    band = theme.series(
        results, label, "interval",
        x=curve.steps[area].tolist(), y=theme.compact(sides),
        mode="lines", line={"width": 0}, fill="toself", fillcolor=hue, opacity=0.12,
        hoverinfo="skip", showlegend=False, **common,
    )  # fmt: skip
    line = theme.series(
        results, label, "mean",
        x=curve.steps.tolist(), y=theme.compact(center), customdata=theme.compact(ends),
        mode="lines", line={"color": hue, "width": 2.6 if base else 2},
        hovertemplate="%{y:.4g} [%{customdata[0]:.4g}, %{customdata[1]:.4g}]", **common,
    )  # fmt: skip
    return [band, line] if known.size else [line]


def _target(value: float) -> dict:
    words = f"target {formats.number(value)}"
    return {
        "type": "line",
        "xref": "x domain",
        "x0": 0,
        "x1": 1,
        "y0": value,
        "y1": value,
        "line": {"color": theme.LIGHT["soft"], "width": 1, "dash": "dash"},
        "label": {"text": words, "textposition": "start", "yanchor": "bottom", "padding": 3},
    }
