"""Steps to the target as a Markdown table, to be committed beside the study."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from gradlab.bench.results import Results
from gradlab.bench.rows import Row, sweep, tuned_row, untuned_row

_COLUMNS = (
    "optimizer",
    "learning rate",
    "seeds that reached it",
    "steps, seed by seed",
    "median",
    "times fewer than {baseline}",
    "published",
)


def write(results: Results, path: Path) -> Path:
    """Writes the table of a study.

    Args:
        results: the study.
        path: the file.

    Returns:
        The path.
    """
    path.write_text(page(results), encoding="utf-8")
    return path


def page(results: Results) -> str:
    """The table of every problem: the configuration as given, and the best of its sweep.

    Args:
        results: the study.

    Returns:
        Markdown. A target that was not reached is ∞; a factor between two of these is left out.
        Studies without a sweep have one table for each problem.
    """
    machine = ", ".join(
        f"{key} {results.environment[key]}"
        for key in ("device", "python", "jax", "optax", "gradlab")
        if results.environment.get(key)
    )
    parts = [
        f"# {results.config.get('title') or results.name}",
        f"`{results.command}`; {machine}.",
    ]
    for problem in results.problems:
        parts += [
            f"## {problem.title}",
            f"Steps until the {problem.metric} is at most {problem.target:g}, evaluated every "
            f"{_every(results, problem.name)} of {problem.horizon} steps "
            f"({problem.target_origin}).",
        ]
        names = results.optimizers
        given = [untuned_row(results, problem.name, name) for name in names]
        best = [tuned_row(results, problem.name, name) for name in names]
        swept = any(len(sweep(results, problem.name, name)) > 1 for name in names)
        for title, rows in (("As given", given), ("Best of the sweep", best)):
            if any(row.point is not None for row in rows):
                parts += [f"### {title}"] * swept + [_table(results, rows, swept)]
    remarks = results.config.get("remarks", "").strip()
    return "\n\n".join([*parts, remarks] if remarks else parts) + "\n"


def _every(results: Results, problem: str) -> int:
    steps = next(trial.steps for trial in results.trials if trial.problem == problem)
    return int(steps[1] - steps[0])


def _table(results: Results, rows: Sequence[Row], swept: bool) -> str:
    baseline = next(row.steps for row in rows if row.optimizer == results.baseline)
    published = {
        spec["label"]: spec.get("published") or "" for spec in results.config["optimizers"]
    }
    heads = [column.format(baseline=results.baseline) for column in _COLUMNS]
    lines = [_line(heads), _line(["---", *["---:"] * 5, "---"])]
    for row in rows:
        if row.point is None:
            continue
        edge = " (edge of the sweep)" if row.edge and swept else ""
        lines.append(
            _line(
                [
                    row.optimizer,
                    f"{row.point.learning_rate:g}{edge}",
                    f"{row.reached} of {len(row.hits)}",
                    ", ".join(_steps(hit.step) for hit in row.hits),
                    _steps(row.steps),
                    _factor(baseline, row.steps),
                    published[row.optimizer],
                ]
            )
        )
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _steps(value: float) -> str:
    return f"{value:.0f}" if math.isfinite(value) else "∞"


def _factor(baseline: float, value: float) -> str:
    if not math.isfinite(value):
        return "" if math.isinf(baseline) else "0"
    return f"{baseline / value:.2g}" if math.isfinite(baseline) else "∞"
