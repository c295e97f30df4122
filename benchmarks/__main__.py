"""`python -m benchmarks`: measures, and writes Markdown and JSON, a file of each for each table."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import limits, report
from benchmarks.tables import TABLES

Name = enum.Enum("Name", {name: name for name in TABLES}, type=str)


def main(
    tables: Annotated[
        list[Name] | None, typer.Argument(help="Which tables; all by default.")
    ] = None,
    tiny: Annotated[bool, typer.Option(help="Small shapes, to see it run.")] = False,
    output: Annotated[
        Path | None, typer.Option(help="Folder for the report; by default that of this machine.")
    ] = None,
) -> None:
    """Compares implementations of the same methods and writes what was found."""
    console = Console(stderr=True)
    chosen = [name.value for name in tables] if tables else list(TABLES)
    console.print("measuring what the machine can do")
    attainable = limits.measure(tiny)
    folder = output or report.folder_of_this_machine(tiny)
    for name in chosen:
        tables_of_run = TABLES[name](attainable, tiny, lambda line: console.print(line))
        if tables_of_run:
            console.print(f"written: {report.write(folder, name, tables_of_run, attainable)}")
    if folder == report.QUOTED and report.can_be_quoted():
        report.README.write_text(report.readme(), encoding="utf-8")
        console.print(f"its ratios: {report.README}")


if __name__ == "__main__":
    typer.run(main)
