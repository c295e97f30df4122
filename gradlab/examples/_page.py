"""What an example shows: a table in the terminal, and a page with charts that opens offline."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gradlab.bench import formats, theme
from gradlab.bench.report import frame, templates


@dataclasses.dataclass(frozen=True)
class Page:
    """What an example found.

    Attributes:
      title: of the page.
      text: what a reader should know.
      labels: what was compared, the plain way first; each is a colour.
      charts: figures, each with a note below it.
      rows: of the table, as text; the first cell is a name.
      note: below the table.
      header: of the columns. None: nothing, and the labels.
    """

    title: str
    text: str
    labels: Sequence[str]
    charts: Sequence[tuple[go.Figure, str]]
    rows: Sequence[Sequence[str]]
    note: str
    header: Sequence[str] | None = None

    @property
    def columns(self) -> Sequence[str]:
        """The header of the table."""
        return ["", *self.labels] if self.header is None else self.header

    def write(self, output: Path) -> Path:
        """Prints the table and writes `index.html` into a folder; returns its path."""
        table, console = Table(title=self.title), Console()
        for place, name in enumerate(self.columns):
            table.add_column(escape(name), justify="right" if place else "left")
        for cells in self.rows:
            table.add_row(*map(escape, cells))
        # What is not read in a window has room.
        (console if console.is_terminal else Console(width=160)).print(table)
        output.mkdir(parents=True, exist_ok=True)
        path = output / "index.html"
        path.write_text(self.render(), encoding="utf-8")
        print(f"written: {path}")
        return path

    def render(self) -> str:
        """The page as HTML text, with its style, script and charts inside."""
        marks = {label: mark(place) for place, label in enumerate(self.labels)}
        return templates("gradlab.examples").get_template("page.html").render(
            frame(self.title, "gradlab examples", marks, "Ways"),
            text=self.text, charts=self.charts, header=self.columns, rows=self.rows,
            closing=self.note,
        )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Attributes:
      title: what the vertical axis shows.
      along: what the horizontal axis shows.
      lines: places and heights, by label.
      log: the axes whose distances are ratios, such as `"xy"`.
      dots: each height is marked.
      truth: places and heights of a line that belongs to no label.
    """

    title: str
    along: str
    lines: Mapping[str, tuple[Any, Any]]
    log: str = ""
    dots: bool = False
    truth: tuple[Any, Any] | None = None


def chart(
    title: str, panels: Sequence[Panel], labels: Sequence[str], height: int = 280
) -> go.Figure:
    """Panels in which every label has a line of its own colour.

    Args:
      title: what a screen reader says.
      panels: what is drawn.
      labels: those of the page, in its order.
      height: of a panel [px].
    """
    figure = theme.panels(title, len(panels), 360, height)
    for place, panel in enumerate(panels):
        x, y = (_axis(panel, place) for place in (0, 1))
        theme.set_axes(figure, place, x | {"title": {"text": panel.along}}, y)
        figure.add_annotation(theme.heading(place, theme.text(panel.title)))
        if panel.truth is not None:
            figure.add_trace(
                go.Scatter(
                    name="truth", uid=f"truth-{place}", **theme.axes(place), mode="lines",
                    x=np.asarray(panel.truth[0]).tolist(), y=theme.compact(panel.truth[1]),
                    line={"color": theme.LIGHT["soft"], "width": 2, "dash": "dot"},
                )
            )  # fmt: skip
        for label, (along, heights) in panel.lines.items():
            number = list(labels).index(label)
            figure.add_trace(
                go.Scatter(
                    name=theme.text(label), uid=f"s{number}-{place}", **theme.axes(place),
                    x=np.asarray(along).tolist(), y=theme.compact(heights),
                    mode="lines+markers" if panel.dots else "lines",
                    line={"color": theme.LIGHT[mark(number)], "width": 2}, marker={"size": 6},
                    hovertemplate=f"{theme.text(panel.along)} %{{x:.4~g}}: %{{y:.4g}}",
                )
            )  # fmt: skip
    return figure


def _axis(panel: Panel, which: int) -> dict[str, Any]:
    """Plotly's properties of the horizontal (0) or the vertical axis (1)."""
    if "xy"[which] not in panel.log:
        return {"nticks": 6}
    lines = [*panel.lines.values(), *([] if panel.truth is None else [panel.truth])]
    values = np.concatenate([np.asarray(line[which], float) for line in lines])
    values = values[np.isfinite(values) & (values > 0)]
    if not values.size:
        return {"nticks": 6}
    return theme.scale(float(values.min()) / 1.1, float(values.max()) * 1.1, True)


def steps(values: Any) -> tuple[np.ndarray, Any]:
    """A line over steps, which count from 1."""
    return np.arange(1, len(values) + 1), values


def running_mean(values: Any, length: int) -> tuple[np.ndarray, np.ndarray]:
    """A line of means over the last `length` steps."""
    mean = np.convolve(values, np.full(length, 1 / length), "valid")
    return np.arange(length, length + len(mean)), mean


def mark(place: int) -> str:
    """The colour of a label, by its place: the first is what others are compared with."""
    return "base" if place == 0 else f"o{(place - 1) % 12}"


def spread(values: Any) -> str:
    """The mean of several seeds with its standard error."""
    values = np.asarray(values, np.float64)
    error = float(values.std(ddof=1)) / len(values) ** 0.5
    return f"{formats.number(float(values.mean()))} ± {formats.number(error, 2)}"
