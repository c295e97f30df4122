"""A table as data: what is stored as JSON and shown as Markdown."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
      title: its heading.
      text: what stands in it for a row; empty for what is not known.
    """

    title: str
    text: Callable[[Row], str]


def field(title: str, path: str, show: Callable[[Any], str] = str) -> Column:
    """A column that shows a field of a row, or one inside of it: `gradlab.step.median`."""

    def text(row: Row) -> str:
        value: Any = row
        for name in path.split("."):
            value = (value or {}).get(name)
        return "" if value is None else show(value)

    return Column(title, text)


def quartiles(spread: dict) -> str:
    """A median with its quartiles: `0.44 [0.39, 0.61]`."""
    return f"{spread['median']:.2f} [{spread['low']:.2f}, {spread['high']:.2f}]"


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows, and how to show them.

    Attributes:
      title: the heading.
      notes: what a reader has to know to read it.
      columns: what is shown of each row.
      rows: plain data.
    """

    title: str
    notes: str
    columns: tuple[Column, ...]
    rows: list[Row]

    def markdown(self) -> str:
        """The table under its heading."""
        head = "| " + " | ".join(c.title for c in self.columns) + " |"
        line = "|" + "|".join(["---"] + ["---:"] * (len(self.columns) - 1)) + "|"
        body = ["| " + " | ".join(c.text(row) for c in self.columns) + " |" for row in self.rows]
        missed = [f"- *{row['method']}*: {row['why']}" for row in self.rows if row.get("why")]
        why = ["", "Missed, and why:", "", *missed] if missed else []
        return "\n".join([f"## {self.title}", "", self.notes, "", head, line, *body, *why])

    def data(self) -> Mapping[str, Any]:
        """What is stored."""
        return {"title": self.title, "notes": self.notes, "rows": self.rows}
