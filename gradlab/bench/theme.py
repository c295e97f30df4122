"""How a report's charts look: one palette for page and charts, one template, compact data."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from gradlab.bench.results import Results

LIGHT = {
    "paper": "#fdfdfb", "sheet": "#ffffff", "ink": "#1c1d20", "soft": "#63666d",
    "faint": "#e6e5e0", "grid": "#ecebe6", "good": "#0b62a4", "bad": "#b3480b", "base": "#3d4046",
    "high": "#e0dfd8",
    "o0": "#0072b2", "o1": "#d55e00", "o2": "#009e73", "o3": "#b5559b", "o4": "#c98a00",
    "o5": "#3fa0d8", "o6": "#882255", "o7": "#7d7d1f", "o8": "#332288", "o9": "#44aa99",
    "o10": "#cc6677", "o11": "#8a5a2b",
    "trace": "#b9c3cf", "compile": "#7f8fa3", "data": "#e0a33c", "step": "#20639b",
    "evaluation": "#6aa67e",
}  # fmt: skip
"""Colours of the page by name; an optimizer's are `base` for the baseline, else `o0` to `o11`."""

DARK = {
    "paper": "#15171a", "sheet": "#1b1e22", "ink": "#e9e8e4", "soft": "#a0a3a8",
    "faint": "#33373d", "grid": "#2a2e33", "good": "#6db8f2", "bad": "#f09a5b", "base": "#c9ccd1",
    "high": "#3a3f46",
    "o0": "#4aa8e0", "o1": "#f5813a", "o2": "#2bc79a", "o3": "#dd86c6", "o4": "#e8b23f",
    "o5": "#86cdf5", "o6": "#d4679b", "o7": "#bcbc55", "o8": "#9a8cf0", "o9": "#6fd3c2",
    "o10": "#ef97a5", "o11": "#c9976a",
    "trace": "#566270", "compile": "#8494a8", "data": "#d9a441", "step": "#5aa2dc",
    "evaluation": "#7cc295",
}  # fmt: skip
"""The same names where the reader prefers dark; the page swaps the colours of its charts."""

NOTHING = "rgba(0,0,0,0)"
_AXIS = {
    "gridcolor": LIGHT["grid"],
    "zeroline": False,
    "automargin": True,
    "exponentformat": "power",
    "tickfont": {"size": 11.5},
    "ticklabelstandoff": 4,
    "title": {"font": {"size": 12}, "standoff": 8},
    "ticks": "",
}
_TEMPLATE = go.layout.Template(
    layout={
        "font": {
            "family": 'system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif',
            "size": 12,
            "color": LIGHT["soft"],
        },
        "paper_bgcolor": NOTHING,
        "plot_bgcolor": NOTHING,
        "hoverlabel": {
            "bgcolor": LIGHT["sheet"],
            "bordercolor": LIGHT["faint"],
            "font": {"color": LIGHT["ink"], "size": 12},
            "namelength": -1,
        },
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "showlegend": False,
        "hovermode": "closest",
        "dragmode": False,
        "annotationdefaults": {"showarrow": False},
        "margin": {"l": 44, "r": 12, "t": 26, "b": 38},
    }
)


def figure(label: str, height: int, **layout: Any) -> go.Figure:
    """An empty figure in the report's style.

    Args:
        label: what a screen reader says.
        height: of the figure [px]; its width is the page's.
        **layout: more of plotly's layout.

    Returns:
        The figure, with its label in `layout.meta`.
    """
    meta = {"label": label, **layout.pop("meta", {})}
    return go.Figure(layout={"template": _TEMPLATE, "height": height, "meta": meta, **layout})


def panels(label: str, count: int, width: int, height: int, **layout: Any) -> go.Figure:
    """A figure of several panels, which the page puts into as many columns as there is room for.

    Args:
        label: what a screen reader says.
        count: number of panels.
        width: smallest width of a panel [px].
        height: height of a panel [px].
        **layout: more of plotly's layout.

    Returns:
        The figure; panel `k`, from 0, has the axes that `axes(k)` names.
    """
    columns = max(1, min(count, 1190 // width))
    rows = math.ceil(count / columns)
    grid = {"rows": rows, "columns": columns, "pattern": "independent", "xgap": 0.16, "ygap": 0.38}
    meta = {"panels": {"count": count, "width": width, "height": height}}
    return figure(label, rows * height, grid=grid, meta=meta, **layout)


def axes(panel: int) -> dict[str, str]:
    """The two axes of a panel, as a trace names them."""
    number = "" if panel == 0 else str(panel + 1)
    return {"xaxis": f"x{number}", "yaxis": f"y{number}"}


def set_axes(chart: go.Figure, panel: int, x: dict[str, Any], y: dict[str, Any]) -> None:
    """Gives the two axes of a panel their properties."""
    number = "" if panel == 0 else str(panel + 1)
    chart.update_layout({f"xaxis{number}": x, f"yaxis{number}": y})


def heading(panel: int, text: str) -> dict[str, Any]:
    """The annotation above the left edge of a panel, wherever the page puts it."""
    names = axes(panel)
    return {
        "text": text,
        "xref": f"{names['xaxis']} domain",
        "yref": f"{names['yaxis']} domain",
        "x": 0,
        "y": 1,
        "xanchor": "left",
        "yanchor": "bottom",
        "yshift": 4,
        "align": "left",
    }


def mark(results: Results, optimizer: str) -> str:
    """The colour of an optimizer: its place in the study, or `base` for the baseline."""
    if optimizer == results.baseline or optimizer not in results.optimizers:
        return "base"
    others = [label for label in results.optimizers if label != results.baseline]
    return f"o{others.index(optimizer) % 12}"


def color(results: Results, optimizer: str) -> str:
    """The colour of an optimizer in light."""
    return LIGHT[mark(results, optimizer)]


def series(results: Results, optimizer: str, part: str, **trace: Any) -> go.Scatter:
    """A trace of one optimizer, which the page can bring to the front.

    Args:
        results: the study.
        optimizer: label of the optimizer.
        part: which of its traces in a figure this is.
        **trace: plotly's properties of the trace.

    Returns:
        The trace; the page finds it by the optimizer's place in its `uid`.
    """
    place = results.optimizers.index(optimizer) if optimizer in results.optimizers else 0
    return go.Scatter(name=text(optimizer), uid=f"s{place}-{part}", **trace)


def text(words: str) -> str:
    """Words that plotly shows as they are, though they may look like markup."""
    return html.escape(words, quote=False)


def colored(words: str, color: str) -> str:
    """Words in a colour, for the labels of an axis."""
    return f'<span style="color:{color}">{text(words)}</span>'


def compact(values: Iterable[float] | np.ndarray) -> np.ndarray:
    """Numbers in single precision, what is not finite as NaN, which plotly leaves out."""
    data = np.asarray(values, dtype=np.float64)
    return np.where(np.isfinite(data), data, np.nan).astype(np.float32)


def scale(low: float, high: float, log: bool, ticks: int = 6) -> dict[str, Any]:
    """An axis from `low` to `high` in plain numbers.

    Args:
        low: the lower end.
        high: the upper end.
        log: whether distances are ratios; labels then stand at 1, 2 and 5 of each decade, or at
            whole decades where that would be too many.
        ticks: about the largest number of labels.

    Returns:
        Plotly's properties of the axis.
    """
    if not log:
        return {"type": "linear", "range": [low, high], "tickformat": "~g", "nticks": ticks}
    ends = [math.log10(low), math.log10(high)]
    width = ends[1] - ends[0]
    step = "D2" if 3 * width <= ticks else math.ceil(width / ticks)
    return {"type": "log", "range": ends, "tickformat": "~g", "dtick": step}


def last_on_top(results: Results, labels: Iterable[str]) -> list[str]:
    """Labels in their order with the baseline's at the end, so that nothing hides it."""
    return sorted(labels, key=lambda label: label == results.baseline)


def to_json(chart: go.Figure) -> str:
    """A figure as JSON that can stand inside a script element."""
    written = chart.to_json(remove_uids=False) or ""
    return re.sub("[<>&]", lambda found: f"\\u{ord(found[0]):04x}", written)


def name_axis(results: Results, labels: Sequence[str]) -> dict[str, Any]:
    """A vertical axis of optimizers, the first on top, each name in its colour."""
    return {
        "type": "category",
        "categoryorder": "array",
        "categoryarray": [text(label) for label in labels],
        "range": [len(labels) - 0.4, -0.6],
        "tickvals": [text(label) for label in labels],
        "ticktext": [f"<b>{colored(label, color(results, label))}</b>" for label in labels],
        "showgrid": False,
        "ticklabelstandoff": 6,
    }
