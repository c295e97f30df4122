"""Two checks that a study runs on itself: equals come out equal, a planted failure loses."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from gradlab.bench.comparisons import NOTHING, Comparison, compare
from gradlab.bench.results import Results
from gradlab.bench.rows import SweepPoint, best_point, sweep, tuned_row


@dataclass(frozen=True)
class SelfCheck:
    """Whether the statistics keep quiet about equals and notice a planted failure.

    Args:
        problem: name of the problem.
        same: the baseline against itself.
        planted: the baseline at the worst learning rate of its sweep against its best, or None
            where no rate is worse than the best.
    """

    problem: str
    same: Comparison
    planted: Comparison | None

    @property
    def passed(self) -> bool:
        """Whether equals came out equal and the planted rate lost."""
        lost = self.planted is not None and self.planted.verdict == "worse"
        return self.same.verdict == NOTHING and lost


def self_check(results: Results, twin: str | None = None) -> tuple[SelfCheck, ...]:
    """Check the comparisons of a study on its own trials, problem by problem.

    The baseline must show no difference against itself, and the worst learning rate of its own
    sweep, planted in the place of the best one, must lose by its final value. Whether the best
    rate lies at the edge of the sweep does not matter here.

    Args:
        results: the study.
        twin: label of a second copy of the baseline that the study ran as an entry of its own; it
            takes the place of the very same trials.

    Returns:
        One check for each problem.
    """
    return tuple(_check(results, problem.name, twin) for problem in results.problems)


def _check(results: Results, problem: str, twin: str | None) -> SelfCheck:
    base = dataclasses.replace(tuned_row(results, problem, results.baseline), invalid="")
    other = dataclasses.replace(tuned_row(results, problem, twin), invalid="") if twin else base
    same = compare(results, other, base, "final")
    worst = _worst(sweep(results, problem, results.baseline))
    if worst is None or base.point is None:
        return SelfCheck(problem, same, None)
    planted = dataclasses.replace(base, optimizer=f"{base.optimizer}, planted rate", point=worst)
    return SelfCheck(problem, same, compare(results, planted, base, "final"))


def _worst(points: tuple[SweepPoint, ...]) -> SweepPoint | None:
    """The worst finished rate whose seeds all ended alike: all finite or all diverged."""
    best, _ = best_point(points)
    alike = [
        point
        for point in points
        if point.finished and point.diverged in (0, len(point.finals)) and point is not best
    ]
    key = [(-math.inf if math.isnan(p.final.center) else p.final.center) for p in alike]
    return alike[key.index(max(key))] if alike else None
