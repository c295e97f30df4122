"""The charts of a report, drawn from a study and its score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from gradlab.bench import formats, svg
from gradlab.bench.profiles import R_MAX, Profile
from gradlab.bench.results import Results
from gradlab.bench.rows import Row, SweepPoint
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


def metric_title(results: Results, problem: str) -> str:
    """What an axis of the problem's metric is called, with its unit."""
    info = results.problem(problem)
    return f"{info.metric} [{info.metric_unit}]" if info.metric_unit else info.metric


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
    chart.x_axis(x, metric_title(results, problem), most=4)
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
    """Where the time of one run goes: what happens once, and beside it what every step adds to.

    Args:
        results: the study.
        score: its score.
        problem: name of the problem.

    Returns:
        The chart as SVG, two stacked bars for each optimizer to two scales; empty without timings.
    """
    info, labels = results.problem(problem), list(results.optimizers)
    evaluations = max((t.steps.size for t in results.trials if t.problem == problem), default=0)
    steps = {"data": info.horizon, "step": info.horizon, "evaluation": evaluations}
    height, left = 60 + 24 * len(labels), name_margin(labels)
    chart = svg.Chart(560, height, f"Time split on {problem}", (left, 8, 12, 44))
    half = (chart.box[2] - left - 34) / 2
    for index, label in enumerate(labels):
        chart.add(series(results, label, svg.label(left - 8, _bar_level(chart, index) + 12, label,
                                                   "end")))  # fmt: skip
    sides = (
        (left, {"trace": 1, "compile": 1}, "once"),
        (left + half + 34, steps, f"over {formats.count(info.horizon)} steps"),
    )
    drawn = [
        _bars(chart, score, problem, labels, often, (start, start + half), title)
        for start, often, title in sides
    ]
    return chart.svg() if any(drawn) else ""


def _bar_level(chart: svg.Chart, index: int) -> float:
    return chart.box[1] + 4 + 24 * index


def _bars(
    chart: svg.Chart,
    score: Score,
    problem: str,
    labels: Sequence[str],
    often: Mapping[str, int],
    span: tuple[float, float],
    title: str,
) -> bool:
    """Stacked bars of some pieces, each as often as it happens; False where none was timed."""
    timed = {label: score.implementation[problem, label].seconds for label in labels}
    times = {
        label: {piece: count * timed[label].get(piece, 0.0) for piece, count in often.items()}
        for label in labels
    }
    longest = max((sum(parts.values()) for parts in times.values()), default=0.0)
    if not longest:
        return False
    x = svg.Scale(0, longest * 1.02, *span)
    factor, unit = (1e3, "ms") if longest < 0.5 else (1, "s")
    _, top, _, bottom = chart.box
    for value in svg.Scale(0, longest * factor, 0, 1).ticks(4):
        chart.add(svg.path([(x(value / factor), top), (x(value / factor), bottom)], "grid"))
        chart.text(x(value / factor), bottom + 15, formats.tick(value), "tick", "middle")
    chart.text(sum(span) / 2, chart.height - 6, f"{title} [{unit}]", "axis", "middle")
    for index, label in enumerate(labels):
        at = 0.0
        for piece, time in times[label].items():
            tip = f"{label}, {piece}: {formats.seconds(time)}"
            level = _bar_level(chart, index)
            chart.add(svg.bar(x(at), level, x(at + time) - x(at), 15, f"piece {piece}", tip))
            at += time
    return True
