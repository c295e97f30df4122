"""A page of curves with a table below: what the examples about outer gradients write."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gradlab.bench import theme
from gradlab.bench.report import templates
from gradlab.examples._page import mark


@dataclasses.dataclass(frozen=True)
class Panel:
    """Curves in one pair of axes.

    Attributes:
      name: what stands above it.
      series: label -> (x, y). A label has the same colour in all panels.
      x: what the axis is of.
      log: whether y is logarithmic.
    """

    name: str
    series: Mapping[str, tuple[Any, Any]]
    x: str = "step"
    log: bool = False


def steps(values: Any) -> tuple[np.ndarray, Any]:
    """A curve over steps, which count from 1."""
    return np.arange(1, len(values) + 1), values


def labels_of(panels: Sequence[Panel]) -> list[str]:
    """Every label once, in the order in which they come."""
    return list(dict.fromkeys(label for panel in panels for label in panel.series))


def chart(panels: Sequence[Panel]) -> go.Figure:
    """The figure of all panels."""
    figure, labels = theme.panels("Curves", len(panels), 360, 280), labels_of(panels)
    for place, panel in enumerate(panels):
        y = {"type": "log", "dtick": None} if panel.log else {"nticks": 6}
        theme.set_axes(figure, place, {"title": {"text": theme.text(panel.x)}}, y)
        figure.add_annotation(theme.heading(place, theme.text(panel.name)))
        for label, (x, values) in panel.series.items():
            index = labels.index(label)
            figure.add_trace(
                go.Scatter(
                    name=theme.text(label), uid=f"s{index}-{place}", **theme.axes(place),
                    x=theme.compact(x), y=theme.compact(values), mode="lines",
                    line={"color": theme.LIGHT[mark(index)], "width": 2},
                    hovertemplate="%{x}: %{y:.4g}",
                )
            )  # fmt: skip
    return figure


def show(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints the table."""
    table = Table(title=title)
    for i, name in enumerate(header):
        table.add_column(name, justify="right" if i else "left")
    for row in rows:
        table.add_row(*map(escape, row))
    Console(width=120).print(table)


def write(
    output: Path,
    title: str,
    text: str,
    panels: Sequence[Panel],
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    note: str,
) -> Path:
    """Writes the page.

    Returns:
      Its path, `index.html` in `output`.
    """
    output.mkdir(parents=True, exist_ok=True)
    path = output / "index.html"
    page = templates("gradlab.examples").get_template("lines.html").render(
        title=title, text=text, labels=labels_of(panels), header=header, rows=rows, note=note,
        chart=chart(panels), plotlyjs=get_plotlyjs(), light=theme.LIGHT, dark=theme.DARK,
    )  # fmt: skip
    path.write_text(page, encoding="utf-8")
    return path
