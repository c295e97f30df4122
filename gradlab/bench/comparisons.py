"""Comparisons with the baseline that refuse to claim more than the seeds show."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gradlab.bench.intervals import Interval, mean_interval, welch_difference
from gradlab.bench.results import Results
from gradlab.bench.rows import Row, timing

Measure = Literal["steps", "gradient_evaluations", "seconds", "final"]
Verdict = Literal["better", "worse", "no difference shown"]

MEASURES: tuple[Measure, ...] = ("steps", "gradient_evaluations", "seconds", "final")
FEWEST_SEEDS = 3
"""With fewer seeds than this on either side no difference is ever claimed."""

Cause = Literal["apart", "overlap", "invalid", "seeds", "missed", "unmeasured"]
"""What a verdict rests on: intervals apart or overlapping, or why they were not asked."""

NOTHING: Verdict = "no difference shown"


@dataclass(frozen=True)
class Comparison:
    """One row against another by one measure.

    Args:
        problem: name of the problem.
        optimizer: label of the candidate.
        baseline: label of what it is compared with.
        measure: `steps`, `gradient_evaluations` or `seconds` to the target, or `final` value.
        candidate: the candidate's interval over seeds.
        reference: the baseline's interval over seeds.
        effect: the speed-up, baseline over candidate, for a cost (above 1 is faster); the
            difference, candidate minus baseline, for the final value (below 0 is better).
        verdict: `better`, `worse` or `no difference shown`.
        cause: what the verdict rests on.
        reason: the cause in words.
    """

    problem: str
    optimizer: str
    baseline: str
    measure: Measure
    candidate: Interval
    reference: Interval
    effect: Interval
    verdict: Verdict
    cause: Cause
    reason: str

    @property
    def words(self) -> str:
        """The verdict as a table shows it, which says so where no claim was possible at all."""
        if self.cause == "invalid":
            return "no claim: invalid row"
        return "no claim: too few seeds" if self.cause == "seeds" else self.verdict


def compare(results: Results, candidate: Row, reference: Row, measure: Measure) -> Comparison:
    """Compare two rows of one problem, and claim a difference only where intervals are apart.

    A difference is claimed when both rows are valid, each has at least three seeds, and the two
    95 % intervals over seeds share no point. Costs are compared on a logarithmic scale: the
    interval belongs to the geometric mean over seeds, its ends widened to the evaluations between
    which the target was met, and for seconds by the quartiles of the measured step and data time.
    Where every seed of a row missed the target, its cost is anything above the horizon; where only
    some did, no interval exists and nothing is claimed.

    Args:
        results: the study that both rows come from.
        candidate: the row to judge.
        reference: the row to judge it against.
        measure: what to compare.

    Returns:
        The comparison with its verdict and the reason for it.
    """
    if measure == "final":
        sides = (_final(candidate), _final(reference))
        effect = welch_difference(_finals(candidate), _finals(reference))
    else:
        sides = (_cost(results, candidate, measure), _cost(results, reference, measure))
        effect = _speed_up(results, candidate, reference, measure, sides)
    verdict, cause, reason = _verdict(candidate, reference, measure, sides)
    labels = (candidate.problem, candidate.optimizer, reference.optimizer)
    return Comparison(*labels, measure, *sides, effect, verdict, cause, reason)


def _verdict(
    candidate: Row, reference: Row, measure: Measure, sides: tuple[Interval, Interval]
) -> tuple[Verdict, Cause, str]:
    for row in (candidate, reference):
        if row.invalid:
            return NOTHING, "invalid", f"{row.optimizer}: {row.invalid}"
    seeds = min(len(row.hits) for row in (candidate, reference))
    if seeds < FEWEST_SEEDS:
        return NOTHING, "seeds", f"{seeds} seeds ran, {FEWEST_SEEDS} are needed"
    if measure == "final":
        return _verdict_from(sides)
    if measure == "seconds" and any(
        math.isnan(row.seconds_per_step) for row in (candidate, reference)
    ):
        return NOTHING, "unmeasured", "the time of a step was not measured"
    for row in (candidate, reference):
        if 0 < row.reached < len(row.hits):
            reached = f"{row.reached} of {len(row.hits)} seeds"
            return NOTHING, "missed", f"{row.optimizer} reached the target on {reached} only"
    if candidate.reached == reference.reached == 0:
        return NOTHING, "missed", "neither reached the target"
    return _verdict_from(sides)


def _verdict_from(sides: tuple[Interval, Interval]) -> tuple[Verdict, Cause, str]:
    candidate, reference = sides
    if candidate.overlaps(reference):
        return NOTHING, "overlap", "the intervals overlap"
    better = candidate.high < reference.low
    return ("better" if better else "worse"), "apart", "the intervals are apart"


def _finals(row: Row) -> tuple[float, ...]:
    return () if row.point is None else row.point.finals


def _final(row: Row) -> Interval:
    """The final value; a row that diverged on every seed lies above every number."""
    finals = _finals(row)
    if finals and not any(math.isfinite(value) for value in finals):
        return Interval(math.inf, math.inf, math.inf, len(finals))
    return mean_interval(finals)


def _logs(row: Row, end: str) -> np.ndarray:
    """Logarithms of one end of every seed's bracket; the first step is the smallest cost."""
    return np.log([max(getattr(hit, end), 1.0) for hit in row.hits])


def _cost(results: Results, row: Row, measure: Measure) -> Interval:
    n = len(row.hits)
    unit, fast, slow = _unit(results, row, measure)
    if n == 0 or math.isnan(unit):
        return Interval(math.nan, math.nan, math.nan, n)
    if row.reached == 0:
        horizon = float(results.problem(row.problem).horizon)
        return Interval(math.inf, horizon * fast, math.inf, n)
    if row.reached < n:
        return Interval(math.inf, -math.inf, math.inf, n)
    late, early = mean_interval(_logs(row, "step")), mean_interval(_logs(row, "before"))
    low = 0.0 if early.low == -math.inf else math.exp(early.low) * fast
    return Interval(math.exp(late.center) * unit, low, _exp(late.high) * slow, n)


def _speed_up(
    results: Results,
    candidate: Row,
    reference: Row,
    measure: Measure,
    sides: tuple[Interval, Interval],
) -> Interval:
    n = min(side.n for side in sides)
    if any(math.isnan(side.center) for side in sides):
        return Interval(math.nan, math.nan, math.nan, n)
    rows = (candidate, reference)
    if any(0 < row.reached < len(row.hits) for row in rows):
        return Interval(math.nan, 0.0, math.inf, n)
    if any(row.reached == 0 for row in rows):
        return _one_sided(sides, [row.reached == 0 for row in rows], n)
    low = welch_difference(_logs(reference, "before"), _logs(candidate, "step"))
    high = welch_difference(_logs(reference, "step"), _logs(candidate, "before"))
    ours, theirs = (_unit(results, row, measure) for row in rows)
    center = sides[1].center / sides[0].center
    return Interval(
        center, _exp(low.low) * theirs[1] / ours[2], _exp(high.high) * theirs[2] / ours[1], n
    )


def _one_sided(sides: tuple[Interval, Interval], missed: list[bool], n: int) -> Interval:
    """The speed-up where a side never arrived: known only to be above or below a bound."""
    candidate, reference = sides
    if all(missed):
        return Interval(math.nan, 0.0, math.inf, n)
    if missed[1]:
        return Interval(math.inf, reference.low / candidate.high, math.inf, n)
    return Interval(0.0, 0.0, reference.high / candidate.low, n)


def _unit(results: Results, row: Row, measure: Measure) -> tuple[float, float, float]:
    """The cost of one step as measured, at its fastest and at its slowest quartile."""
    if measure == "steps":
        return 1.0, 1.0, 1.0
    if measure == "gradient_evaluations":
        return row.gradients_per_step, row.gradients_per_step, row.gradients_per_step
    pieces = [timing(results, row.problem, row.optimizer, piece) for piece in ("step", "data")]
    if any(piece is None for piece in pieces):
        return math.nan, math.nan, math.nan
    present = [piece for piece in pieces if piece is not None]
    return (
        sum(piece.median for piece in present),
        sum(piece.q25 for piece in present),
        sum(piece.q75 for piece in present),
    )


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf
