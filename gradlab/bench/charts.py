"""The charts of a report, drawn from a study and its score."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gradlab.bench import formats, svg
from gradlab.bench.intervals import mean_interval
from gradlab.bench.profiles import R_MAX, Profile
from gradlab.bench.results import PIECES, Results
from gradlab.bench.rows import Row, SweepPoint, row_trials
from gradlab.bench.score import Score

MEASURE_TITLES = {
    "steps": "steps",
    "gradient_evaluations": "gradient evaluations",
    "seconds": "seconds of measured step and data time",
}


def mark(results: Results, optimizer: str) -> str:
    """The class of an optimizer's marks: its place in the study, or `base` for the baseline."""
    if optimizer == results.baseline:
        return "base"
    others = [label for label in results.optimizers if label != results.baseline]
    return f"o{others.index(optimizer) % 12}"


def series(results: Results, optimizer: str, *parts: str, clip: bool = False) -> str:
    """Marks of one optimizer, which the page can bring to the front."""
    place = results.optimizers.index(optimizer) if optimizer in results.optimizers else 0
    css = f"series {mark(results, optimizer)} s{place}"
    return svg.group(css, *parts, clip=clip)


def name_margin(labels: Sequence[str]) -> int:
    """Room for the longest of some names beside a chart [px]."""
    return 24 + round(7.6 * max((len(label) for label in labels), default=0))


def learning_curves(results: Results, score: Score, problem: str, measure: str) -> str:
    """The metric along training at each optimizer's tuned rate, mean and interval over seeds.

    Args:
        results: the study.
        score: its score.
        problem: name of the problem.
        measure: what the horizontal axis counts, a key of `MEASURE_TITLES`.

    Returns:
        The chart as SVG, or an empty text where nothing can be drawn.
    """
    rows = [row for row in score.tuned if row.problem == problem and row_trials(results, row)]
    curves = {row.optimizer: _curve(results, row, _unit(row, measure)) for row in rows}
    curves = {label: curve for label, curve in curves.items() if curve is not None}
    if not curves:
        return ""
    info = results.problem(problem)
    chart = svg.Chart(
        1120, 430, f"Learning curves on {info.title}", (60, 30, 34 + name_margin(list(curves)), 44)
    )
    x = chart.x_scale(0, max(float(curve[0][-1]) for curve in curves.values()))
    y = _metric_scale(chart, [curve[1] for curve in curves.values()], info.target)
    chart.y_axis(y, _metric_title(results, problem))
    chart.x_axis(x, MEASURE_TITLES[measure], most=9)
    chart.add(svg.path([(x.start, y(info.target)), (x.stop, y(info.target))], "target"))
    chart.text(x.stop - 4, y(info.target) - 5, f"target {formats.number(info.target)}", "note",
               "end")  # fmt: skip
    for label in _baseline_last(results, list(curves)):
        chart.add(series(results, label, *_curve_marks(x, y, curves[label], label), clip=True))
    _end_labels(results, chart, x, y, curves)
    return chart.svg()


def _unit(row: Row, measure: str) -> float:
    units = {
        "steps": 1.0,
        "gradient_evaluations": row.gradients_per_step,
        "seconds": row.seconds_per_step,
    }
    return units[measure]


def _curve(results: Results, row: Row, unit: float):
    """Costs, means, lower and upper ends at every evaluation that all seeds share."""
    trials = row_trials(results, row)
    length = min(trial.steps.size for trial in trials)
    if length == 0 or math.isnan(unit):
        return None
    table = np.stack([trial.values[:length] for trial in trials])
    intervals = [mean_interval(column) for column in table.T]
    means = np.array([i.center for i in intervals])
    means[~np.isfinite(means)] = math.nan
    ends = np.array([(i.low, i.high) if i.finite else (math.nan, math.nan) for i in intervals])
    return trials[0].steps[:length] * unit, means, ends[:, 0], ends[:, 1]


def _curve_marks(x, y, curve, label: str) -> list[str]:
    costs, means, low, high = curve
    line = [(x(c), y(m)) for c, m in zip(costs, means, strict=True) if math.isfinite(m)]
    known = [i for i in range(len(costs)) if math.isfinite(low[i])]
    upper = [(x(costs[i]), y(high[i])) for i in known]
    lower = [(x(costs[i]), y(low[i])) for i in known]
    return [svg.band(upper, lower) if known else "", svg.path(line), svg.title(label)]


def _metric_scale(chart: svg.Chart, tables: Sequence[np.ndarray], target: float) -> svg.Scale:
    """A scale from the lowest mean to the highest start, logarithmic over more than a decade."""
    values = np.concatenate([*tables, [target]])
    values = values[np.isfinite(values)]
    low, high = float(values.min()), float(max(table[0] for table in tables))
    high = max(high if math.isfinite(high) else low, target, low + 1e-12)
    log = low > 0 and high / low > 4
    if log:
        return chart.y_scale(low / (high / low) ** 0.06, high * (high / low) ** 0.02, True)
    return chart.y_scale(low - 0.06 * (high - low), high + 0.02 * (high - low))


def _metric_title(results: Results, problem: str) -> str:
    info = results.problem(problem)
    return f"{info.metric} [{info.metric_unit}]" if info.metric_unit else info.metric


def _end_labels(results: Results, chart: svg.Chart, x, y, curves) -> None:
    ends = {}
    for label, (costs, means, _, _) in curves.items():
        finite = np.flatnonzero(np.isfinite(means))
        if finite.size:
            ends[label] = (x(costs[finite[-1]]), y(means[finite[-1]]))
    _, top, right, bottom = chart.box
    places = svg.spread([end[1] for end in ends.values()], 15, top + 4, bottom - 2)
    for (label, (end_x, end_y)), place in zip(ends.items(), places, strict=True):
        link = svg.path([(end_x, end_y), (right + 12, place)], "link")
        name = svg.label(right + 16, place + 4, label)
        chart.add(series(results, label, link, name))


def _baseline_last(results: Results, labels: list[str]) -> list[str]:
    return sorted(labels, key=lambda label: label == results.baseline)


def sensitivity_panel(results: Results, score: Score, problem: str, optimizer: str) -> str:
    """The final metric over the sweep of one optimizer, every seed a dot, diverged ones crosses.

    Args:
        results: the study.
        score: its score.
        problem: name of the problem.
        optimizer: label of the optimizer.

    Returns:
        The chart as SVG, all panels of a problem to one vertical scale; empty without a sweep.
    """
    points = score.sweeps[problem, optimizer]
    if not points or points[0].learning_rate <= 0:
        return ""
    chart = svg.Chart(270, 190, f"Learning rates of {optimizer} on {problem}", (46, 12, 10, 34))
    y = _panel_scale(chart, results, score, problem)
    step = (points[-1].learning_rate / points[0].learning_rate) ** (0.35 / max(len(points) - 1, 1))
    step = max(step, 1.2)
    x = chart.x_scale(points[0].learning_rate / step, points[-1].learning_rate * step, True)
    chart.y_axis(y, most=4)
    chart.x_axis(x, tick=formats.power, most=4)
    row = next(r for r in score.tuned if (r.problem, r.optimizer) == (problem, optimizer))
    chart.add(series(results, optimizer, *_sweep_marks(x, y, points, row)))
    return chart.svg()


def _panel_scale(chart: svg.Chart, results: Results, score: Score, problem: str) -> svg.Scale:
    finals = [
        final
        for (name, _), points in score.sweeps.items()
        if name == problem
        for point in points
        for final in point.finals
        if math.isfinite(final)
    ]
    starts = [s.initial for (p, _), s in score.sensitivities.items() if p == problem]
    start = max((s for s in starts if math.isfinite(s)), default=math.inf)
    low = min(finals, default=0.0)
    high = min(max(finals, default=1.0), start * 1.15 if start > 0 else math.inf)
    high = max(high, low + 1e-9)
    if low > 0 and high / low > 4:
        return chart.y_scale(low / (high / low) ** 0.06, high * (high / low) ** 0.12, True)
    return chart.y_scale(low - 0.06 * (high - low), high + 0.12 * (high - low))


def _sweep_marks(x, y, points: tuple[SweepPoint, ...], row: Row) -> list[str]:
    top = y.stop + 1
    means = [(x(p.learning_rate), max(y(p.final.center), top)) for p in points
             if math.isfinite(p.final.center)]  # fmt: skip
    parts = [svg.path(means, "line thin")]
    for point in points:
        at = x(point.learning_rate)
        for seed, final in zip(point.seeds, point.finals, strict=True):
            tip = f"rate {formats.rate(point.learning_rate)}, seed {seed}: {formats.number(final)}"
            if not math.isfinite(final):
                parts.append(svg.cross(at, top + 5, 3.5, "cross", tip.replace("∞", "diverged")))
            elif y(final) < top:
                parts.append(svg.dot(at, top, 2.6, "dot off", f"{tip}, above the axis"))
            else:
                parts.append(svg.dot(at, y(final), 2.6, "dot", tip))
    if row.point is not None and math.isfinite(row.point.final.center):
        css = "ring bad" if row.edge else "ring"
        at, level = x(row.point.learning_rate), max(y(row.point.final.center), top)
        parts.append(svg.dot(at, level, 7, css, row.invalid or "the best rate"))
    return parts


def tuning_chart(results: Results, score: Score, problem: str) -> str:
    """The final metric of each optimizer untuned (hollow) and tuned (filled), with intervals."""
    labels = list(results.optimizers)
    chart = svg.Chart(560, 60 + 26 * len(labels), f"Untuned and tuned on {problem}",
                      (name_margin(labels), 12, 16, 42))  # fmt: skip
    rows = {}
    for row in (*score.tuned, *score.untuned):
        if row.problem == problem and row.point is not None:
            rows[row.optimizer, row.tuned] = row.point.final
    centers = [i.center for i in rows.values() if math.isfinite(i.center)]
    if not centers:
        return ""
    low, high = min(centers), max(centers)
    pad = 0.08 * (high - low) or abs(low) * 0.05 or 1.0
    log = low > 0 and high / low > 4
    x = (chart.x_scale(low / 1.15, high * 1.15, True) if log
         else chart.x_scale(low - pad, high + pad))  # fmt: skip
    chart.x_axis(x, _metric_title(results, problem), most=4)
    for index, label in enumerate(labels):
        level = chart.box[1] + 18 + 26 * index
        name = svg.label(chart.box[0] - 8, level + 4, label, "end")
        pair = [rows.get((label, tuned)) for tuned in (False, True)]
        chart.add(series(results, label, name, *_tuning_marks(x, level, pair)))
    return chart.svg()


def _tuning_marks(x, level: float, pair) -> list[str]:
    parts, ends = [], []
    for interval, css, what in zip(pair, ("hollow", "dot"), ("untuned", "tuned"), strict=True):
        if interval is None:
            continue
        tip = f"{what}: {formats.with_interval(interval)}"
        if not math.isfinite(interval.center):
            parts.append(svg.cross(x.stop, level, 4, "cross", f"{what}: diverged"))
            continue
        at = x(interval.center)
        ends.append((at, level))
        if interval.finite:
            low, high = (min(max(x(end), x.start), x.stop) for end in (interval.low, interval.high))
            parts.append(svg.path([(low, level), (high, level)], "whisker"))
        parts.append(svg.dot(at, level, 4.6, css, tip))
    return [svg.path(ends, "link"), *parts]


def profile_chart(results: Results, profiles: Sequence[Profile]) -> str:
    """The fraction of problems that each optimizer solved within a factor of the best."""
    if not profiles or not profiles[0].taus:
        return ""
    measure = MEASURE_TITLES.get(profiles[0].measure, profiles[0].measure)
    chart = svg.Chart(370, 270, f"Performance profile in {measure}", (44, 28, 12, 44))
    x, y = chart.x_scale(1, R_MAX), chart.y_scale(-0.04, 1.06)
    chart.y_axis(y, "fraction of problems", lambda value: f"{value:.0%}", 5)
    chart.x_axis(x, "factor τ of the fewest " + measure.split(" of ")[0], most=4)
    for order, profile in enumerate(profiles):
        lift = 2.2 * (order - (len(profiles) - 1) / 2)  # equal profiles stay visible side by side
        points = [(x(t), y(f) + lift) for t, f in
                  zip(profile.taus, profile.fractions, strict=True)]  # fmt: skip
        title = svg.title(f"{profile.optimizer}: {formats.number(profile.score)}")
        chart.add(series(results, profile.optimizer, svg.steps(points), title))
    return chart.svg()


def time_chart(results: Results, score: Score, problem: str) -> str:
    """Where the time of one run goes: trace and compile once, the rest as often as it happens."""
    info = results.problem(problem)
    evaluations = max((t.steps.size for t in results.trials if t.problem == problem), default=0)
    often = {"trace": 1, "compile": 1, "data": info.horizon, "step": info.horizon}
    often["evaluation"] = evaluations
    labels = list(results.optimizers)
    totals = {
        label: [(piece, score.implementation[problem, label].seconds.get(piece, 0) * often[piece])
                for piece in PIECES]
        for label in labels
    }  # fmt: skip
    longest = max((sum(time for _, time in parts) for parts in totals.values()), default=0)
    if not longest:
        return ""
    chart = svg.Chart(
        370, 60 + 24 * len(labels), f"Time split on {problem}", (name_margin(labels), 10, 16, 42)
    )
    x = chart.x_scale(0, longest * 1.02)
    chart.x_axis(x, f"seconds for one run of {formats.count(info.horizon)} steps", most=5)
    for index, label in enumerate(labels):
        level, at = chart.box[1] + 4 + 24 * index, 0.0
        name = svg.label(chart.box[0] - 8, level + 12, label, "end")
        chart.add(series(results, label, name))
        for piece, time in totals[label]:
            tip = f"{label}, {piece}: {formats.seconds(time)}"
            chart.add(svg.bar(x(at), level, x(at + time) - x(at), 15, f"piece {piece}", tip))
            at += time
    return chart.svg()
