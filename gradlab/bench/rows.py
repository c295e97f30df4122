"""Rows of the result tables: one optimizer on one problem, tuned or at its default.

A diverged trial has an infinite final value and never reaches a target; an unfinished one counts
for nothing. Every number of a row is kept for every seed beside its median or mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gradlab.bench.intervals import Interval, mean_interval
from gradlab.bench.results import UNTUNED, GroupCost, Piece, Results, Timing, Trial

Edge = Literal["low", "high"]


@dataclass(frozen=True)
class Hit:
    """When a trial reached its target, as far as its evaluations can tell.

    Args:
        step: the first evaluated step at or below the target; infinity for a miss.
        before: the evaluated step before it, so that the target was met in `(before, step]`.
    """

    step: float
    before: float


@dataclass(frozen=True)
class SweepPoint:
    """All seeds of one learning rate.

    Args:
        rate_index: position in the sweep.
        learning_rate: the rate [parameter units per step].
        seeds: the seeds that finished.
        finals: the final metric of each, infinity where it diverged.
        final: their mean with its interval.
        diverged: number of seeds that diverged.
        planned: number of trials of this rate, finished or not.
    """

    rate_index: int
    learning_rate: float
    seeds: tuple[int, ...]
    finals: tuple[float, ...]
    final: Interval
    diverged: int
    planned: int

    @property
    def finished(self) -> bool:
        """Whether every trial of this rate reached its end."""
        return 0 < len(self.seeds) == self.planned


@dataclass(frozen=True)
class Row:
    """One optimizer on one problem: the best rate of its sweep, or its default configuration.

    Args:
        problem: name of the problem.
        optimizer: label of the optimizer.
        tuned: whether the learning rate was chosen from the sweep.
        point: the chosen learning rate with its final values, or None where nothing finished.
        edge: at which end of the sweep the best rate lies, None inside.
        hits: for each seed when it reached the target.
        steps: median over seeds of the steps to the target; a miss is infinity.
        gradient_evaluations: the same in gradient evaluations.
        seconds: the same in seconds of measured step and data time; NaN where not measured.
        gradients_per_step: gradient evaluations of one step.
        seconds_per_step: median time of one step and its data [s], NaN where not measured.
        invalid: why the row supports no claim, empty for a valid row.
    """

    problem: str
    optimizer: str
    tuned: bool
    point: SweepPoint | None
    edge: Edge | None
    hits: tuple[Hit, ...]
    steps: float
    gradient_evaluations: float
    seconds: float
    gradients_per_step: float
    seconds_per_step: float
    invalid: str

    @property
    def valid(self) -> bool:
        """Whether claims may rest on this row."""
        return not self.invalid

    @property
    def reached(self) -> int:
        """Number of seeds that reached the target."""
        return sum(math.isfinite(hit.step) for hit in self.hits)

    def cost(self, measure: str) -> float:
        """Median cost to the target in `"steps"`, `"gradient_evaluations"` or `"seconds"`."""
        return float(getattr(self, measure))


def final_value(trial: Trial) -> float:
    """The metric at the end of a finished trial; infinity where it diverged."""
    if trial.status == "diverged" or trial.values.size == 0:
        return math.inf
    last = float(trial.values[-1])
    return last if math.isfinite(last) else math.inf


def time_to_target(trial: Trial, target: float) -> Hit:
    """The first evaluation at or below the target, with the evaluation before it.

    Args:
        trial: a finished trial.
        target: value of the metric to reach.

    Returns:
        The two steps; infinity for both where the target was never met.
    """
    met = np.flatnonzero(trial.values <= target)
    if met.size == 0:
        return Hit(math.inf, math.inf)
    first = int(met[0])
    before = float(trial.steps[first - 1]) if first else 0.0
    return Hit(float(trial.steps[first]), before)


def sweep(results: Results, problem: str, optimizer: str) -> tuple[SweepPoint, ...]:
    """Every learning rate of an optimizer's sweep, in ascending order, diverged ones included."""
    trials = results.select(problem, optimizer, tuned=True)
    indices = sorted({trial.rate_index for trial in trials})
    return tuple(_point([t for t in trials if t.rate_index == index]) for index in indices)


def best_point(points: tuple[SweepPoint, ...]) -> tuple[SweepPoint | None, Edge | None]:
    """The rate with the lowest mean final value, and the edge of the sweep at which it lies.

    Only rates whose trials all finished are candidates, and a single diverged seed makes a mean
    infinite. Of equal means the smaller rate wins.

    Args:
        points: the sweep, in ascending order of the rate.

    Returns:
        The best point and `"low"`, `"high"` or None; None twice where nothing finished.
    """
    candidates = [point for point in points if point.finished]
    if not candidates:
        return None, None
    best = min(candidates, key=lambda point: (point.final.center, point.rate_index))
    if best.rate_index == points[0].rate_index:
        return best, "low"
    return best, "high" if best.rate_index == points[-1].rate_index else None


def tuned_row(results: Results, problem: str, optimizer: str) -> Row:
    """The row of an optimizer's best learning rate, invalid where that is at the sweep's edge."""
    points = sweep(results, problem, optimizer)
    point, edge = best_point(points)
    reason = ""
    if point is None:
        reason = "no learning rate has finished"
    elif not math.isfinite(point.final.center):
        reason, edge = "every learning rate diverged on some seed", None
    elif edge is not None:
        where = "lowest" if edge == "low" else "highest"
        reason = f"the best learning rate is the {where} of the sweep"
    elif not all(candidate.finished for candidate in points):
        reason = "the sweep is not finished"
    return _row(results, problem, optimizer, True, point, edge, reason)


def untuned_row(results: Results, problem: str, optimizer: str) -> Row:
    """The row of an optimizer's default configuration."""
    trials = results.select(problem, optimizer, tuned=False)
    point = _point(list(trials)) if trials else None
    reason = "" if point is not None and point.finished else "the default has not finished"
    return _row(results, problem, optimizer, False, point, None, reason)


def row_trials(results: Results, row: Row) -> tuple[Trial, ...]:
    """The finished trials behind a row, ordered by seed."""
    if row.point is None:
        return ()
    index = row.point.rate_index
    trials = results.select(row.problem, row.optimizer, tuned=row.tuned, rate_index=index)
    return tuple(trial for trial in trials if trial.finished)


def timing(results: Results, problem: str, optimizer: str, piece: Piece) -> Timing | None:
    """The timing probe's measurement of one piece, or None where there is none."""
    for entry in results.timings:
        if (entry.problem, entry.optimizer, entry.piece) == (problem, optimizer, piece):
            return entry
    return None


def costs(results: Results, problem: str, optimizer: str) -> tuple[GroupCost, ...]:
    """The recorded costs of an optimizer's groups on one problem."""
    return tuple(c for c in results.costs if (c.problem, c.optimizer) == (problem, optimizer))


def _point(trials: list[Trial]) -> SweepPoint:
    done = [trial for trial in trials if trial.finished]
    finals = tuple(final_value(trial) for trial in done)
    return SweepPoint(
        rate_index=trials[0].rate_index if trials else UNTUNED,
        learning_rate=trials[0].learning_rate if trials else math.nan,
        seeds=tuple(trial.seed for trial in done),
        finals=finals,
        final=mean_interval(finals),
        diverged=sum(not math.isfinite(final) for final in finals),
        planned=len(trials),
    )


def _row(
    results: Results,
    problem: str,
    optimizer: str,
    tuned: bool,
    point: SweepPoint | None,
    edge: Edge | None,
    invalid: str,
) -> Row:
    target = results.problem(problem).target
    index = UNTUNED if point is None else point.rate_index
    trials = results.select(problem, optimizer, tuned=tuned, rate_index=index)
    hits = tuple(time_to_target(trial, target) for trial in trials if trial.finished)
    steps = float(np.median([hit.step for hit in hits])) if hits else math.nan
    gradients = _gradients_per_step(results, problem, optimizer)
    seconds = _seconds_per_step(results, problem, optimizer)
    return Row(
        problem=problem,
        optimizer=optimizer,
        tuned=tuned,
        point=point,
        edge=edge,
        hits=hits,
        steps=steps,
        gradient_evaluations=steps * gradients,
        seconds=steps * seconds,
        gradients_per_step=gradients,
        seconds_per_step=seconds,
        invalid=invalid,
    )


def _gradients_per_step(results: Results, problem: str, optimizer: str) -> float:
    known = costs(results, problem, optimizer)
    return float(known[0].gradient_evaluations_per_step) if known else math.nan


def _seconds_per_step(results: Results, problem: str, optimizer: str) -> float:
    pieces = [timing(results, problem, optimizer, piece) for piece in ("step", "data")]
    return sum(math.nan if piece is None else piece.median for piece in pieces)
