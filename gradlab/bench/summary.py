"""The end of a study in the terminal: one table per problem, and where the report is."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

_COLUMNS = (
    "optimizer",
    "rate",
    "final",
    "untuned",
    "reached",
    "steps",
    "seconds",
    "against baseline",
)


def print_summary(summary: dict[str, Any], report: Path) -> None:
    """Prints the score of a study.

    Args:
        summary: what `gradlab.bench.score.summary` gives.
        report: the path of the report.
    """
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=140)
    for problem in summary["problems"]:
        console.print(_table(problem, summary["baseline"]))
        for row in problem["rows"]:
            if row["invalid"]:
                reason = f"no claim for {row['optimizer']}: {row['invalid']}"
                console.print(reason, markup=False, style="dim")
    unmet = [point for point in summary["protocol"] if not point["met"]]
    for point in unmet:
        console.print(f"protocol {point['number']}: {point['reason']}", markup=False, style="dim")
    console.print(f"report: {report.resolve()}", markup=False, soft_wrap=True)


def _table(problem: dict[str, Any], baseline: str) -> Table:
    unit = f" [{problem['metric_unit']}]" if problem["metric_unit"] else ""
    title = (
        f"{problem['title']}: {problem['metric']}{unit} after {problem['horizon']} steps, "
        f"target {problem['target']:g}"
    )
    table = Table(
        *_COLUMNS, title=escape(title), title_justify="left", box=None, header_style="bold"
    )
    for row in problem["rows"]:
        mark = " (edge)" if row["edge"] else ""
        table.add_row(
            escape(row["optimizer"]),
            _number(row["learning_rate"]) + mark,
            _interval(row["final"]),
            _interval(row["untuned"]["final"]),
            f"{row['reached']}/{row['seeds']}",
            _interval(row["steps"]),
            _interval(row["seconds"]),
            _verdict(row, baseline),
        )
    return table


def _verdict(row: dict[str, Any], baseline: str) -> str:
    if row["optimizer"] == baseline:
        return "baseline"
    return str(row["against_baseline"].get("final", {}).get("words", ""))


def _interval(value: Any) -> str:
    if not isinstance(value, dict):
        return _number(value)
    return _number(value.get("center"))


def _number(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, str):
        return "∞" if value == "inf" else value
    return f"{value:.4g}"
