"""One HTML file that shows a study: it opens offline, loads nothing and needs no server."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import jinja2
from plotly.offline import get_plotlyjs

from gradlab.bench import charts, formats, theme
from gradlab.bench.comparisons import FEWEST_SEEDS
from gradlab.bench.curve_chart import learning_curves
from gradlab.bench.intervals import METHOD
from gradlab.bench.landscape_chart import landscape_chart, landscape_title
from gradlab.bench.profiles import R_MAX
from gradlab.bench.results import PIECES, Results
from gradlab.bench.rows import Row, final_value, time_to_target
from gradlab.bench.score import COSTS, Score, plain, score
from gradlab.bench.sweep_chart import sweep_panels


def write(results: Results, path: Path | str) -> Path:
    """Write a study's report as one self-contained HTML file.

    Args:
        results: the study, finished or not.
        path: the file to write, replaced in one step; its folder is made where it is missing.

    Returns:
        The path of the file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".part")
    draft.write_text(render(results), encoding="utf-8")
    os.replace(draft, path)
    return path


def render(results: Results) -> str:
    """The report of a study as HTML text.

    Args:
        results: the study, finished or not.

    Returns:
        A whole page with its style, script and charts inside.
    """
    return templates().get_template("report.html").render(context(results))


def templates(*packages: str) -> jinja2.Environment:
    """The templates of pages, with the filters that they use.

    Args:
        *packages: names of packages whose folder `templates` is searched before the report's.

    Returns:
        jinja's environment.
    """
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader(package) for package in (*packages, "gradlab.bench")]
        ),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "number": formats.number,
        "count": formats.count,
        "rate": formats.rate,
        "seconds": formats.seconds,
        "size": formats.size,
        "factor": formats.factor,
        "ends": formats.ends,
        "difference": formats.difference,
        "with_interval": formats.with_interval,
        "figure": theme.to_json,
    }
    return environment


def frame(heading: str, kicker: str, marks: dict[str, str], marked: str) -> dict[str, Any]:
    """What the base of all pages reads.

    Args:
        heading: of the page.
        kicker: the line above it.
        marks: the colour of each series, by its label.
        marked: what the labels are of.

    Returns:
        Names and values.
    """
    return {
        "heading": heading,
        "kicker": kicker,
        "keys": list(marks.items()),
        "keys_are": marked,
        "light": theme.LIGHT,
        "dark": theme.DARK,
        "plotlyjs": get_plotlyjs(),
    }


def context(results: Results) -> dict[str, Any]:
    """What the page's template reads.

    Args:
        results: the study.

    Returns:
        Names and values; a chart is a plotly figure or None.
    """
    scored = score(results)
    marks = {label: theme.mark(results, label) for label in results.optimizers}
    return frame(results.name, "gradlab bench", marks, "Optimizers") | {
        "results": results,
        "score": scored,
        "interval_method": METHOD,
        "fewest_seeds": FEWEST_SEEDS,
        "r_max": R_MAX,
        "pieces": PIECES,
        "measures": charts.MEASURE_TITLES,
        "marks": marks,
        "seeds": sorted({trial.seed for trial in results.trials}),
        "unfinished": sum(not trial.finished for trial in results.trials),
        "unmet": [point for point in scored.protocol if not point.met],
        "undeclared": _undeclared(results),
        "overview": [_overview(results, scored, label) for label in results.optimizers],
        "problems": [_problem(results, scored, info.name) for info in results.problems],
        "profiles": charts.profile_panels(results, scored),
        "landscapes": _landscapes(results),
        "environment": _environment(results),
        "config": json.dumps(plain(results.config), indent=2, ensure_ascii=False),
    }


def _undeclared(results: Results) -> list[str]:
    """Gaps that the study declares without the number of a point."""
    return [line for line in results.incomplete if not any(char.isdigit() for char in line[:8])]


def _overview(results: Results, scored: Score, label: str) -> dict[str, Any]:
    place = results.optimizers.index(label)
    return {
        "label": label,
        "verdicts": {
            measure: [
                scored.comparisons.get((info.name, label, measure)) for info in results.problems
            ]
            for measure in ("steps", "final")
        },
        "profile": {measure: scored.profiles[measure][place].score for measure in COSTS},
        "relative": {measure: scored.relative[measure][place] for measure in COSTS},
    }


def _problem(results: Results, scored: Score, name: str) -> dict[str, Any]:
    rows = sorted((row for row in scored.tuned if row.problem == name), key=_final_order)
    untuned = {row.optimizer: row for row in scored.untuned if row.problem == name}
    return {
        "info": results.problem(name),
        "rows": [_table_row(results, scored, row, untuned[row.optimizer]) for row in rows],
        "curves": learning_curves(results, scored, name),
        "sweeps": sweep_panels(results, scored, name),
        "untuned": any(row.point is not None for row in untuned.values()),
        "tuning": charts.tuning_chart(results, scored, name),
        "time": charts.time_chart(results, scored, name),
        "trials": _trial_rows(results, name),
    }


def _final_order(row: Row) -> float:
    center = math.nan if row.point is None else row.point.final.center
    return math.inf if math.isnan(center) else center


def _table_row(results: Results, scored: Score, row: Row, untuned: Row) -> dict[str, Any]:
    key = (row.problem, row.optimizer)
    return {
        "row": row,
        "untuned": untuned,
        "final": None if row.point is None else row.point.final,
        "untuned_final": None if untuned.point is None else untuned.point.final,
        "against": {m: scored.comparisons.get((*key, m)) for m in (*COSTS, "final")},
        "untuned_against": scored.untuned_comparisons.get(key),
        "implementation": scored.implementation[key],
        "gain": _gain(row, untuned),
    }


def _gain(row: Row, untuned: Row) -> float:
    """How much lower the final metric is after tuning, as a fraction of the untuned one."""
    if row.point is None or untuned.point is None or untuned.point.final.center == 0:
        return math.nan
    before, after = untuned.point.final.center, row.point.final.center
    return (before - after) / abs(before) if math.isfinite(before) else math.nan


def _trial_rows(results: Results, name: str) -> list[dict[str, Any]]:
    """Every configuration of every optimizer with the outcome of every seed."""
    target = results.problem(name).target
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for label in results.optimizers:
        for trial in results.select(name, label):
            row = rows.setdefault(
                (label, trial.rate_index),
                {"label": label, "rate": trial.learning_rate, "tuned": trial.tuned, "seeds": {}},
            )
            row["seeds"][trial.seed] = {
                "status": trial.status,
                "final": final_value(trial),
                "steps": time_to_target(trial, target).step,
                "diverged_at": trial.diverged_at,
            }
    return list(rows.values())


def _landscapes(results: Results) -> list[dict[str, Any]]:
    names = dict.fromkeys(path.landscape for path in results.trajectories)
    return [
        {
            "title": landscape_title(name),
            "chart": landscape_chart(results, name),
            "paths": [path for path in results.trajectories if path.landscape == name],
        }
        for name in names
    ]


def _environment(results: Results) -> list[tuple[str, str]]:
    return [
        (str(key).replace("_", " "), _flat(value)) for key, value in results.environment.items()
    ]


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_flat(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_flat(item) for item in value)
    return formats.UNKNOWN if value is None or value == "" else str(value)
