"""The charts of a report that compare optimizers: profiles, tuning and the split of time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from gradlab.bench import formats, theme
from gradlab.bench.intervals import Interval
from gradlab.bench.profiles import R_MAX, Profile
from gradlab.bench.results import Results
from gradlab.bench.score import Score

MEASURE_TITLES = {
    "steps": "steps",
    "gradient_evaluations": "gradient evaluations",
    "seconds": "seconds of measured step and data time",
}


def metric_title(results: Results, problem: str) -> str:
    """What an axis of the problem's metric is called, with its unit."""
    info = results.problem(problem)
    return f"{info.metric} [{info.metric_unit}]" if info.metric_unit else info.metric


def profile_panels(results: Results, score: Score) -> go.Figure | None:
    """The fraction of problems that each optimizer solved within a factor of the best.

    Args:
        results: the study.
        score: its score.

    Returns:
        The figure, one panel for each cost; None without any.
    """
    present = {m: p for m, p in score.profiles.items() if p and p[0].fractions}
    if not present:
        return None
    chart = theme.panels("Performance profiles", len(present), 300, 290,
                         margin={"l": 44, "r": 12, "t": 26, "b": 44})  # fmt: skip
    for panel, (measure, profiles) in enumerate(present.items()):
        title = MEASURE_TITLES.get(measure, measure).split(" of ")[0]
        names = theme.axes(panel)
        x_axis = {"range": [1, R_MAX], "nticks": 5,
                  "title": {"text": f"factor τ of the fewest {title}"}}  # fmt: skip
        y_axis = {"range": [-0.05, 1.06], "tickformat": ".0%", "nticks": 6}
        theme.set_axes(chart, panel, x_axis, y_axis)
        chart.add_traces([trace.update(names) for trace in _profile_traces(results, profiles)])
        chart.add_annotation(theme.heading(panel, "fraction of problems"))
    return chart


def _profile_traces(results: Results, profiles: Sequence[Profile]) -> list[go.Scatter]:
    traces = {}
    for order, profile in enumerate(profiles):
        lift = 0.009 * (order - (len(profiles) - 1) / 2)  # equal profiles stay visible
        name, part = profile.optimizer, profile.measure
        traces[name] = theme.series(
            results, name, part,
            x=theme.compact(profile.taus),
            y=theme.compact([fraction + lift for fraction in profile.fractions]),
            customdata=theme.compact(profile.fractions),
            mode="lines",
            line={"shape": "hv", "color": theme.color(results, name), "width": 2},
            hovertemplate=f"%{{customdata:.0%}} within ×%{{x:.3g}}, score "
            f"{formats.number(profile.score)}",
        )  # fmt: skip
    return [traces[label] for label in theme.last_on_top(results, traces)]


def tuning_chart(results: Results, score: Score, problem: str) -> go.Figure | None:
    """The final metric of each optimizer untuned (hollow) and tuned (filled), with intervals.

    Args:
        results: the study.
        score: its score.
        problem: name of the problem.

    Returns:
        The figure; None where nothing has finished.
    """
    rows: dict[str, dict[str, Interval]] = {}
    for row in (*score.untuned, *score.tuned):
        if row.problem == problem and row.point is not None:
            rows.setdefault(row.optimizer, {})["tuned" if row.tuned else "untuned"] = (
                row.point.final
            )
    centers = [i.center for pair in rows.values() for i in pair.values()]
    centers = [center for center in centers if math.isfinite(center)]
    if not centers:
        return None
    low, high, log = _tuning_ends(centers)
    labels = list(results.optimizers)
    chart = theme.figure(
        f"Untuned and tuned on {results.problem(problem).title}", 64 + 28 * len(labels),
        margin={"l": 20, "r": 14, "t": 8, "b": 44},
        xaxis={**theme.scale(low, high, log, ticks=5),
               "title": {"text": theme.text(metric_title(results, problem))}},
        yaxis=theme.name_axis(results, labels),
    )  # fmt: skip
    for label in labels:
        if label in rows:
            chart.add_trace(_tuning_trace(results, label, rows[label], high))
    return chart


def _tuning_ends(centers: Sequence[float]) -> tuple[float, float, bool]:
    low, high = min(centers), max(centers)
    if low > 0 and high / low > 4:
        return low / 1.25, high * 1.25, True
    pad = 0.08 * (high - low) or abs(low) * 0.05 or 1.0
    return low - pad, high + pad, False


def _tuning_trace(
    results: Results, label: str, pair: Mapping[str, Interval], edge: float
) -> go.Scatter:
    """Untuned and tuned joined by a line; a diverged one is a cross at the axis's end."""
    hue, sides = theme.color(results, label), list(pair.values())
    diverged = [not math.isfinite(side.center) for side in sides]
    wide = [side.finite for side in sides]
    filled = {"tuned": "circle", "untuned": "circle-open"}
    tips = [f"{what}: " + ("diverged" if lost else formats.with_interval(side))
            for (what, side), lost in zip(pair.items(), diverged, strict=True)]  # fmt: skip
    return theme.series(
        results, label, "final",
        x=theme.compact([min(side.center, edge) for side in sides]),
        y=[theme.text(label)] * len(sides),
        error_x={
            "type": "data", "symmetric": False, "color": hue, "thickness": 2, "width": 0,
            "array": theme.compact([s.high - s.center if w else 0.0
                                    for s, w in zip(sides, wide, strict=True)]),
            "arrayminus": theme.compact([s.center - s.low if w else 0.0
                                         for s, w in zip(sides, wide, strict=True)]),
        },
        mode="lines+markers", line={"color": hue, "width": 1, "dash": "dot"},
        marker={
            "color": hue, "size": 9, "opacity": 1, "line": {"color": hue, "width": 1.8},
            "symbol": ["x-thin" if lost else filled[what]
                       for what, lost in zip(pair, diverged, strict=True)],
        },
        text=tips, hovertemplate="%{text}", cliponaxis=True,
    )  # fmt: skip


def time_chart(results: Results, score: Score, problem: str) -> go.Figure | None:
    """Where the time of one run goes: what happens once, and beside it what every step adds to.

    Args:
        results: the study.
        score: its score.
        problem: name of the problem.

    Returns:
        The figure, two stacked bars for each optimizer to two scales; None without timings.
    """
    info, labels = results.problem(problem), list(results.optimizers)
    evaluations = max((t.steps.size for t in results.trials if t.problem == problem), default=0)
    steps = {"data": info.horizon, "step": info.horizon, "evaluation": evaluations}
    chart = theme.figure(
        f"Time split on {info.title}", 64 + 25 * len(labels), barmode="stack", bargap=0.38,
        margin={"l": 20, "r": 10, "t": 8, "b": 44}, yaxis=theme.name_axis(results, labels),
    )  # fmt: skip
    sides = (
        ("x", [0.0, 0.47], {"trace": 1, "compile": 1}, "once"),
        ("x2", [0.53, 1.0], steps, f"over {formats.count(info.horizon)} steps"),
    )
    for axis, domain, often, title in sides:
        bars, unit = _bars(score, problem, labels, often, axis)
        chart.add_traces(bars)
        chart.update_layout(
            {axis.replace("x", "xaxis"): {"domain": domain, "rangemode": "tozero", "nticks": 5,
                                          "title": {"text": f"{title} [{unit}]"}}}
        )  # fmt: skip
    return chart if chart.data else None


def _bars(
    score: Score, problem: str, labels: Sequence[str], often: Mapping[str, int], axis: str
) -> tuple[list[go.Bar], str]:
    """One trace for each piece, as often as it happens, and the unit; no trace without timings."""
    timed = [score.implementation[problem, label].seconds for label in labels]
    times = {piece: [count * seconds.get(piece, 0.0) for seconds in timed]
             for piece, count in often.items()}  # fmt: skip
    longest = max((sum(parts) for parts in zip(*times.values(), strict=True)), default=0.0)
    if not longest:
        return [], "s"
    factor, unit = (1e3, "ms") if longest < 0.5 else (1.0, "s")
    return [
        go.Bar(
            name=piece, xaxis=axis, orientation="h", y=[theme.text(label) for label in labels],
            x=theme.compact([second * factor for second in seconds]),
            marker={"color": theme.LIGHT[piece], "line": {"width": 0}},
            text=[formats.seconds(second) for second in seconds], textposition="none",
            hovertemplate="%{y}, " + piece + ": %{text}<extra></extra>",
        )
        for piece, seconds in times.items()
    ], unit  # fmt: skip
