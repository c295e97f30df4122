"""The score of a study: every table of the report as plain data, computed from its results."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradlab.bench.comparisons import MEASURES, Comparison, Measure, compare
from gradlab.bench.intervals import METHOD, Interval
from gradlab.bench.profiles import (
    Profile,
    Relative,
    Sensitivity,
    learning_rate_sensitivity,
    performance_profile,
    profile_costs,
    relative_cost,
)
from gradlab.bench.protocol import Point, protocol
from gradlab.bench.results import PIECES, Results
from gradlab.bench.rows import Row, SweepPoint, costs, sweep, timing, tuned_row, untuned_row
from gradlab.bench.selfcheck import SelfCheck, self_check

__all__ = ["Implementation", "Score", "protocol", "score", "self_check", "summary"]

COSTS: tuple[Measure, ...] = ("steps", "gradient_evaluations", "seconds")


@dataclass(frozen=True)
class Implementation:
    """How fast and how large one optimizer's implementation is on one problem.

    Args:
        problem: name of the problem.
        optimizer: label of the optimizer.
        seconds: median time of each timed piece [s].
        spread: its quartiles [s].
        repetitions: number of measurements of each piece.
        state_bytes_per_parameter: size of the optimizer state [bytes per parameter], NaN unknown.
        peak_memory_bytes: the largest peak of its groups [bytes], None unknown.
        memory_source: what that number is.
        group_seconds: wall time of its vmapped groups, all together [s], NaN unknown.
        group_compile_seconds: time to compile them [s], NaN unknown.
        group_trials: number of trials that ran in them.
    """

    problem: str
    optimizer: str
    seconds: dict[str, float]
    spread: dict[str, tuple[float, float]]
    repetitions: dict[str, int]
    state_bytes_per_parameter: float
    peak_memory_bytes: int | None
    memory_source: str
    group_seconds: float
    group_compile_seconds: float
    group_trials: int


@dataclass(frozen=True)
class Score:
    """Everything that a report states about a study.

    Args:
        tuned: the row of the best learning rate, for each problem and optimizer.
        untuned: the row of the default configuration.
        sweeps: every learning rate of every optimizer, keyed by problem and optimizer.
        comparisons: each tuned row against the baseline's, keyed by problem, optimizer, measure.
        untuned_comparisons: each default row against the baseline's default by its final value.
        profiles: performance profiles, keyed by measure.
        relative: geometric mean cost relative to the baseline, keyed by measure.
        sensitivities: learning-rate sensitivity, keyed by problem and optimizer.
        implementation: implementation speed, keyed by problem and optimizer.
        protocol: the twelve points.
        self_check: the study's check on itself.
    """

    tuned: tuple[Row, ...]
    untuned: tuple[Row, ...]
    sweeps: dict[tuple[str, str], tuple[SweepPoint, ...]]
    comparisons: dict[tuple[str, str, str], Comparison]
    untuned_comparisons: dict[tuple[str, str], Comparison]
    profiles: dict[str, tuple[Profile, ...]]
    relative: dict[str, tuple[Relative, ...]]
    sensitivities: dict[tuple[str, str], Sensitivity]
    implementation: dict[tuple[str, str], Implementation]
    protocol: tuple[Point, ...]
    self_check: tuple[SelfCheck, ...]


def score(results: Results) -> Score:
    """Score a study: rows, comparisons, profiles, sensitivities and the protocol.

    Args:
        results: the study, finished or not.

    Returns:
        The score; what has not run yet is NaN and supports no claim.
    """
    pairs = [(problem.name, label) for problem in results.problems for label in results.optimizers]
    tuned = {pair: tuned_row(results, *pair) for pair in pairs}
    untuned = {pair: untuned_row(results, *pair) for pair in pairs}
    sweeps = {pair: sweep(results, *pair) for pair in pairs}
    rows = tuple(tuned.values())
    tables = {measure: profile_costs(rows, results, measure) for measure in COSTS}
    return Score(
        tuned=rows,
        untuned=tuple(untuned.values()),
        sweeps=sweeps,
        comparisons=_comparisons(results, tuned),
        untuned_comparisons={
            (problem, label): compare(results, row, untuned[problem, results.baseline], "final")
            for (problem, label), row in untuned.items()
            if label != results.baseline
        },
        profiles={name: performance_profile(table, name) for name, table in tables.items()},
        relative={name: _relative(results, name, table) for name, table in tables.items()},
        sensitivities={
            pair: learning_rate_sensitivity(results, *pair, sweeps[pair]) for pair in pairs
        },
        implementation={pair: _implementation(results, *pair) for pair in pairs},
        protocol=protocol(results),
        self_check=self_check(results),
    )


def _comparisons(
    results: Results, tuned: dict[tuple[str, str], Row]
) -> dict[tuple[str, str, str], Comparison]:
    return {
        (problem, label, measure): compare(results, row, tuned[problem, results.baseline], measure)
        for (problem, label), row in tuned.items()
        if label != results.baseline
        for measure in MEASURES
    }


def _relative(
    results: Results, measure: str, table: dict[str, list[float]]
) -> tuple[Relative, ...]:
    reference = table[results.baseline]
    return tuple(relative_cost(label, row, reference, measure) for label, row in table.items())


def _implementation(results: Results, problem: str, optimizer: str) -> Implementation:
    timed = [timing(results, problem, optimizer, piece) for piece in PIECES]
    present = [entry for entry in timed if entry is not None]
    groups = costs(results, problem, optimizer)
    peaks = [c.peak_memory_bytes for c in groups if c.peak_memory_bytes is not None]
    return Implementation(
        problem=problem,
        optimizer=optimizer,
        seconds={entry.piece: entry.median for entry in present},
        spread={entry.piece: (entry.q25, entry.q75) for entry in present},
        repetitions={entry.piece: entry.repetitions for entry in present},
        state_bytes_per_parameter=groups[0].state_bytes_per_parameter if groups else math.nan,
        peak_memory_bytes=max(peaks, default=None),
        memory_source=groups[0].memory_source if groups else "",
        group_seconds=sum(c.wall_seconds for c in groups) if groups else math.nan,
        group_compile_seconds=sum(c.compile_seconds for c in groups) if groups else math.nan,
        group_trials=sum(c.trials for c in groups),
    )


def summary(results: Results) -> dict[str, Any]:
    """The score of a study as data that `json.dumps` writes and any program reads.

    Args:
        results: the study, finished or not.

    Returns:
        A dictionary of dictionaries, lists, strings and finite numbers. An infinite number (a
        missed target, a diverged run) is the string `"inf"`, an unknown one is None.
    """
    scored = score(results)
    return plain(
        {
            "study": results.name,
            "config_hash": results.config_hash,
            "directory": str(results.directory),
            "command": results.command,
            "baseline": results.baseline,
            "interval": METHOD,
            "problems": [_problem_summary(results, scored, p.name) for p in results.problems],
            "profiles": {
                name: [{"optimizer": p.optimizer, "score": p.score} for p in profiles]
                for name, profiles in scored.profiles.items()
            },
            "relative_cost": scored.relative,
            "protocol": scored.protocol,
            "self_check": [_check_summary(check) for check in scored.self_check],
            "environment": results.environment,
        }
    )


def _problem_summary(results: Results, scored: Score, name: str) -> dict[str, Any]:
    rows = [row for row in scored.tuned if row.problem == name]
    untuned = {row.optimizer: row for row in scored.untuned if row.problem == name}
    rows.sort(key=_rank)
    return {
        **dataclasses.asdict(results.problem(name)),
        "rows": [
            {
                **_row_summary(row),
                "untuned": _row_summary(untuned[row.optimizer]),
                "against_baseline": {
                    measure: _comparison_summary(scored.comparisons[name, row.optimizer, measure])
                    for measure in MEASURES
                    if row.optimizer != results.baseline
                },
                "sensitivity": scored.sensitivities[name, row.optimizer].value,
                "sweep": scored.sweeps[name, row.optimizer],
                "implementation": scored.implementation[name, row.optimizer],
            }
            for row in rows
        ],
    }


def _rank(row: Row) -> float:
    center = math.nan if row.point is None else row.point.final.center
    return math.inf if math.isnan(center) else center


def _row_summary(row: Row) -> dict[str, Any]:
    return {
        "optimizer": row.optimizer,
        "learning_rate": None if row.point is None else row.point.learning_rate,
        "final": None if row.point is None else row.point.final,
        "finals": () if row.point is None else row.point.finals,
        "seeds": len(row.hits),
        "reached": row.reached,
        "steps": row.steps,
        "gradient_evaluations": row.gradient_evaluations,
        "seconds": row.seconds,
        "steps_by_seed": [hit.step for hit in row.hits],
        "edge": row.edge,
        "invalid": row.invalid,
    }


def _comparison_summary(comparison: Comparison) -> dict[str, Any]:
    return {
        "effect": comparison.effect,
        "verdict": comparison.verdict,
        "words": comparison.words,
        "reason": comparison.reason,
    }


def _check_summary(check: SelfCheck) -> dict[str, Any]:
    return {
        "problem": check.problem,
        "passed": check.passed,
        "same": _comparison_summary(check.same),
        "planted": None if check.planted is None else _comparison_summary(check.planted),
    }


def plain(value: Any) -> Any:
    """Turn nested dataclasses, arrays and numbers into what JSON can hold, without loss of misses.

    Args:
        value: any nesting of dataclasses, mappings, sequences, arrays and scalars.

    Returns:
        Dictionaries, lists, strings, booleans, None and finite numbers; infinity becomes `"inf"`,
        minus infinity `"-inf"` and NaN None.
    """
    if isinstance(value, Interval) or dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return {field.name: plain(getattr(value, field.name)) for field in fields}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (bool, np.bool_)) or value is None:
        return None if value is None else bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return _plain_float(float(value))
    return str(value)


def _plain_float(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else ("inf" if value > 0 else "-inf")
