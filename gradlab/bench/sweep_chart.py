"""Learning-rate sweeps: one small panel for each optimizer, all to one vertical scale."""

from __future__ import annotations

import math
from dataclasses import dataclass

import plotly.graph_objects as go

from gradlab.bench import formats, theme
from gradlab.bench.results import Results
from gradlab.bench.rows import Row, SweepPoint
from gradlab.bench.score import Score


@dataclass(frozen=True)
class _Scale:
    """A vertical axis: its ends, whether it is logarithmic, and where lies what does not fit."""

    low: float
    high: float
    log: bool
    top: float

    def hold(self, value: float) -> float:
        """The value, or the upper end where it lies beyond."""
        return min(value, self.top)


def sweep_panels(results: Results, score: Score, problem: str) -> go.Figure | None:
    """The final metric over the sweep of each optimizer.

    Every seed is a dot, held at the top where it lies beyond the axis; a diverged one is a cross.
    A ring marks the best rate, red where it lies at the sweep's edge.

    Args:
        results: the study.
        score: its score.
        problem: name of the problem.

    Returns:
        The figure, one panel for each optimizer with a sweep; None without any.
    """
    swept = [
        label
        for label in results.optimizers
        if (points := score.sweeps[problem, label]) and points[0].learning_rate > 0
    ]
    if not swept:
        return None
    scale = _scale(score, problem)
    label = f"Learning rates on {results.problem(problem).title}"
    chart = theme.panels(label, len(swept), 270, 205, margin={"l": 46, "r": 10, "t": 24, "b": 34})
    y_axis = theme.scale(scale.low, scale.high, scale.log, ticks=5)
    for panel, label in enumerate(swept):
        row = next(r for r in score.tuned if (r.problem, r.optimizer) == (problem, label))
        names = theme.axes(panel)
        points = score.sweeps[problem, label]
        chart.add_traces([trace.update(names) for trace in _traces(results, points, row, scale)])
        theme.set_axes(chart, panel, _rate_axis(points), y_axis)
        chart.add_annotation(theme.heading(panel, _heading(results, score, row)))
    return chart


def _heading(results: Results, score: Score, row: Row) -> str:
    value = score.sensitivities[row.problem, row.optimizer].value
    name = theme.colored(row.optimizer, theme.color(results, row.optimizer))
    words = f"<b>{name}</b>  sensitivity {formats.number(value)}"
    return f"{words} · {theme.colored('at the edge', theme.LIGHT['bad'])}" if row.edge else words


def _rate_axis(points: tuple[SweepPoint, ...]) -> dict:
    low, high = points[0].learning_rate, points[-1].learning_rate
    step = max((high / low) ** (0.35 / max(len(points) - 1, 1)), 1.2)
    axis = theme.scale(low / step, high * step, True, ticks=5)
    # Powers of ten are written as such: plotly shows their exponents somewhat larger.
    powers = {"tickformat": "", "tickfont": {"size": 10}} if axis["dtick"] != "D2" else {}
    return axis | powers


def _scale(score: Score, problem: str) -> _Scale:
    """From the lowest final value to the value before training, with room for what diverged."""
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
        ratio = high / low
        return _Scale(low / ratio**0.07, high * ratio**0.12, True, high * ratio**0.07)
    width = high - low
    return _Scale(low - 0.07 * width, high + 0.12 * width, False, high + 0.07 * width)


def _traces(
    results: Results, points: tuple[SweepPoint, ...], row: Row, scale: _Scale
) -> list[go.Scatter]:
    label, hue = row.optimizer, theme.color(results, row.optimizer)
    means = [p for p in points if math.isfinite(p.final.center)]
    line = theme.series(
        results, label, "mean",
        x=theme.compact([p.learning_rate for p in means]),
        y=theme.compact([scale.hold(p.final.center) for p in means]),
        mode="lines", line={"color": hue, "width": 1.5}, hoverinfo="skip",
    )  # fmt: skip
    seeds = [(p.learning_rate, seed, final) for p in points
             for seed, final in zip(p.seeds, p.finals, strict=True)]  # fmt: skip
    dot = {"color": hue, "size": 5.5}
    cross = {"symbol": "x-thin", "size": 7, "line": {"color": hue, "width": 1.7}}
    groups = (
        ("seeds", [s for s in seeds if s[2] <= scale.top], dot),
        ("above", [s for s in seeds if scale.top < s[2] < math.inf], dot | {"opacity": 0.4}),
        ("diverged", [s for s in seeds if not math.isfinite(s[2])], cross),
    )
    dots = [_dots(results, label, part, some, scale, look) for part, some, look in groups if some]
    return [*([line] if means else []), *dots, *_ring(results, row, scale, hue)]


def _dots(results, label, part, seeds, scale: _Scale, marker: dict) -> go.Scatter:
    """The seeds of a sweep, each with its rate, its number and its value as a tip."""
    suffix = {"above": ", above the axis", "diverged": ""}.get(part, "")
    tips = [
        f"rate {formats.rate(rate)}, seed {seed}: "
        + (formats.number(final) if math.isfinite(final) else "diverged") + suffix
        for rate, seed, final in seeds
    ]  # fmt: skip
    return theme.series(
        results, label, part,
        x=theme.compact([rate for rate, _, _ in seeds]),
        y=theme.compact([scale.hold(final) for *_, final in seeds]),
        text=tips, mode="markers", marker=marker, hovertemplate="%{text}", cliponaxis=False,
    )  # fmt: skip


def _ring(results: Results, row: Row, scale: _Scale, hue: str) -> list[go.Scatter]:
    """A ring around the mean at the best rate, red where the row makes no claim for it."""
    if row.point is None or not math.isfinite(row.point.final.center):
        return []
    hue, width = (theme.LIGHT["bad"], 2.6) if row.edge else (hue, 1.6)
    return [
        theme.series(
            results, row.optimizer, "best",
            x=theme.compact([row.point.learning_rate]),
            y=theme.compact([scale.hold(row.point.final.center)]),
            mode="markers", text=[theme.text(row.invalid) or "the best rate"],
            hovertemplate="%{text}", cliponaxis=False,
            marker={"symbol": "circle-open", "size": 15, "color": hue, "line": {"width": width}},
        )
    ]  # fmt: skip
