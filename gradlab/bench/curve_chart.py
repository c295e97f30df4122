"""Learning curves: the metric along training with an interval over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gradlab.bench import formats, svg
from gradlab.bench.charts import MEASURE_TITLES, metric_title, name_margin, series
from gradlab.bench.intervals import mean_interval
from gradlab.bench.results import Results
from gradlab.bench.rows import Row, row_trials
from gradlab.bench.score import Score

LOG_FROM = 4.0
"""A metric that falls by more than this factor is drawn on a logarithmic axis."""


@dataclass(frozen=True)
class _Curve:
    """Costs `[n]` and the metric of every seed there `[seeds, n]`."""

    costs: np.ndarray
    values: np.ndarray

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


def learning_curves(results: Results, score: Score, problem: str, measure: str) -> str:
    """The metric along training at each optimizer's tuned rate, mean and interval over seeds.

    On a logarithmic axis the mean is geometric and the interval belongs to the logarithms.

    Args:
        results: the study.
        score: its score.
        problem: name of the problem.
        measure: what the horizontal axis counts, a key of `MEASURE_TITLES`.

    Returns:
        The chart as SVG, or an empty text where nothing can be drawn.
    """
    curves = _curves(results, score, problem, measure)
    if not curves:
        return ""
    info = results.problem(problem)
    margins = (60, 30, 10 + name_margin(list(curves)), 44)
    chart = svg.Chart(1120, 430, f"Learning curves on {info.title}", margins)
    x = chart.x_scale(0, max(float(curve.costs[-1]) for curve in curves.values()) or 1.0)
    y = _metric_scale(chart, curves, info.target)
    chart.y_axis(y, metric_title(results, problem))
    chart.x_axis(x, MEASURE_TITLES[measure], most=9)
    for label in sorted(curves, key=lambda label: label == results.baseline):
        chart.add(series(results, label, *_marks(x, y, curves[label], label), clip=True))
    chart.add(svg.path([(x.start, y(info.target)), (x.stop, y(info.target))], "target"))
    chart.text(x.start + 6, y(info.target) - 5, f"target {formats.number(info.target)}", "note")
    _end_labels(results, chart, x, y, curves)
    return chart.svg()


def _curves(results: Results, score: Score, problem: str, measure: str) -> dict[str, _Curve]:
    """The curves of the tuned rows, as far as all seeds of a row were evaluated."""
    curves = {}
    for row in score.tuned:
        trials = row_trials(results, row) if row.problem == problem else ()
        length = min((trial.steps.size for trial in trials), default=0)
        unit = _unit(row, measure)
        if length and not math.isnan(unit):
            values = np.stack([trial.values[:length] for trial in trials])
            curves[row.optimizer] = _Curve(next(iter(trials)).steps[:length] * unit, values)
    return curves


def _unit(row: Row, measure: str) -> float:
    units = {
        "steps": 1.0,
        "gradient_evaluations": row.gradients_per_step,
        "seconds": row.seconds_per_step,
    }
    return units[measure]


def _metric_scale(chart: svg.Chart, curves: Mapping[str, _Curve], target: float) -> svg.Scale:
    """A scale from the lowest mean to the highest start."""
    means = np.concatenate([curve.center(False) for curve in curves.values()])
    finite = [float(value) for value in means if math.isfinite(value)] + [target]
    starts = [float(curve.center(False)[0]) for curve in curves.values()]
    low = min(finite)
    high = max([s for s in starts if math.isfinite(s)] + [target, low + 1e-12])
    if low > 0 and high / low > LOG_FROM:
        return chart.y_scale(low / (high / low) ** 0.06, high * (high / low) ** 0.02, True)
    return chart.y_scale(low - 0.06 * (high - low), high + 0.02 * (high - low))


def _marks(x: svg.Scale, y: svg.Scale, curve: _Curve, label: str) -> list[str]:
    center, ends = curve.center(y.log), curve.ends(y.log)
    places = [x(cost) for cost in curve.costs]
    line = [(at, y(m)) for at, m in zip(places, center, strict=True) if math.isfinite(m)]
    known = [index for index in range(len(places)) if np.all(np.isfinite(ends[index]))]
    lower, upper = ([(places[i], y(ends[i, side])) for i in known] for side in (0, 1))
    return [svg.band(upper, lower) if known else "", svg.path(line), svg.title(label)]


def _end_labels(
    results: Results, chart: svg.Chart, x: svg.Scale, y: svg.Scale, curves: Mapping[str, _Curve]
) -> None:
    ends = {}
    for label, curve in curves.items():
        center = curve.center(y.log)
        finite = np.flatnonzero(np.isfinite(center))
        if finite.size:
            last = int(finite[-1])
            ends[label] = (x(float(curve.costs[last])), y(float(center[last])))
    _, top, right, bottom = chart.box
    places = svg.spread([end[1] for end in ends.values()], 15, top + 4, bottom - 2)
    for (label, end), place in zip(ends.items(), places, strict=True):
        link = svg.path([end, (right + 12, place)], "link")
        chart.add(series(results, label, link, svg.label(right + 16, place + 4, label)))
