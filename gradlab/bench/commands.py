"""The commands of `gradlab`: list, show, bench and report."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gradlab.bench.errors import StudyError

app = typer.Typer(
    name="gradlab",
    help="A differentiable optimizer zoo for JAX, and a benchmark for it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

_Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]


def run_app() -> None:
    """Runs the command line; an error that a user can mend is one message.

    Raises:
        SystemExit: always.
    """
    try:
        app()
    except (StudyError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def _print_version(wanted: bool) -> None:
    if wanted:
        import gradlab

        print(gradlab.__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Options of the command itself; without a docstring of its own in the help."""


@app.command("list")
def list_methods(as_json: _Json = False) -> None:
    """List every method of the catalogue."""
    from gradlab.bench import describe

    if as_json:
        _print_json([describe.brief(entry) for entry in describe.entries()])
    else:
        describe.print_list()


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A name that `gradlab list` prints.")],
    params: Annotated[
        str | None,
        typer.Option(help="Parameters of a model, such as 7B: print what memory they take."),
    ] = None,
    as_json: _Json = False,
) -> None:
    """Show one method: formula, paper, hyperparameters, state size, needs and traits."""
    from gradlab.bench import describe, memory

    try:
        entry = describe.find(name)
    except StudyError as error:
        raise typer.BadParameter(str(error), param_hint="NAME") from None
    try:
        count = None if params is None else memory.count_of(params)
    except StudyError as error:
        raise typer.BadParameter(str(error), param_hint="--params") from None
    rows = [] if count is None else memory.sizes(entry)
    if as_json:
        found = {"memory": [row.data(count) for row in rows]} if count is not None else {}
        _print_json({**describe.full(entry), **found})
        return
    describe.print_entry(entry)
    if count is not None:
        describe.print_memory(rows, count)


@app.command()
def bench(
    study: Annotated[str, typer.Argument(help="A study that ships with gradlab, or a TOML file.")],
    tiny: Annotated[
        bool, typer.Option("--tiny", help="Run the study's tiny version, in about a minute.")
    ] = False,
    directory: Annotated[
        Path | None,
        typer.Option(help="Where results go; the same directory continues a study that stopped."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes to run at once; by default one per core.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Run a study, or continue it, and write its report."""
    from gradlab.bench import library
    from gradlab.bench.session import run_study

    try:
        path = library.find(study)
    except StudyError as error:
        raise typer.BadParameter(str(error), param_hint="STUDY") from None
    root = run_study(path, study, tiny=tiny, directory=directory, jobs=jobs)
    _conclude(root, as_json)


@app.command()
def report(
    directory: Annotated[Path, typer.Argument(help="The directory of a study, finished or not.")],
    as_json: _Json = False,
    markdown: Annotated[
        Path | None, typer.Option(help="Write the steps to the target as Markdown, too.")
    ] = None,
) -> None:
    """Write the report of a study once more, from what is stored."""
    if markdown is not None:
        from gradlab.bench import markdown as table
        from gradlab.bench.store import load_results

        table.write(load_results(directory), markdown)
    _conclude(directory, as_json)


def _conclude(root: Path, as_json: bool) -> None:
    from gradlab.bench import report as page
    from gradlab.bench import score
    from gradlab.bench.directory import Directory
    from gradlab.bench.store import load_results
    from gradlab.bench.summary import print_summary

    results = load_results(root)
    summary = score.summary(results)
    path = page.write(results, Directory(root).report)
    if as_json:
        _print_json({**summary, "report": str(path.resolve())})
    else:
        print_summary(summary, path)


def _print_json(data: Any) -> None:
    print(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False))
