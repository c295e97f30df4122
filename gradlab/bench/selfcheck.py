"""Two checks that a study runs on itself: equals come out equal, a planted failure loses."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from gradlab.bench.comparisons import NOTHING, Comparison, compare
from gradlab.bench.results import Results
from gradlab.bench.rows import Row, SweepPoint, best_point, sweep, tuned_row


@dataclass(frozen=True)
class SelfCheck:
    """Whether the statistics keep quiet about equals and notice a planted failure.

    Args:
        problem: name of the problem.
        same: the baseline against itself.
        planted: a planted bad learning rate against the baseline, or None where there is none.
    """

    problem: str
    same: Comparison
    planted: Comparison | None

    @property
    def passed(self) -> bool:
        """Whether equals came out equal and the planted rate lost."""
        lost = self.planted is not None and self.planted.verdict == "worse"
        return self.same.verdict == NOTHING and lost


def find_twin(results: Results) -> str | None:
    """The label of an entry that differs from the baseline's by nothing but its label.

    Args:
        results: the study; its config lists the entries under `optimizers`, each with a `label`.

    Returns:
        The label of the first such entry, or None.
    """
    return _find_copy(results, ("label",))


def find_planted(results: Results) -> str | None:
    """The label of a copy of the baseline whose sweep has another centre: a planted bad rate.

    Args:
        results: the study; its config lists the entries under `optimizers`, each with a `label`.

    Returns:
        The label of the first entry that differs in label and learning rate alone, or None.
    """
    twin = find_twin(results)
    return _find_copy(results, ("label", "learning_rate"), skip=twin)


def _find_copy(results: Results, free: tuple[str, ...], skip: str | None = None) -> str | None:
    entries = [entry for entry in results.config.get("optimizers", ()) if isinstance(entry, dict)]
    fixed = {
        entry.get("label"): {key: value for key, value in entry.items() if key not in free}
        for entry in entries
    }
    own = fixed.get(results.baseline)
    others = [label for label in results.optimizers if label not in (results.baseline, skip)]
    return next((label for label in others if own and fixed.get(label) == own), None)


def self_check(
    results: Results, twin: str | None = None, planted: str | None = None
) -> tuple[SelfCheck, ...]:
    """Check the comparisons of a study on its own trials, problem by problem.

    The baseline must show no difference against itself, and a planted bad learning rate must lose
    by its final value. Whether a best rate lies at the edge of its sweep does not matter here.

    Args:
        results: the study.
        twin: label of a second copy of the baseline that the study ran as an entry of its own; by
            default the one that the config shows, else the very same trials stand in for it.
        planted: label of a copy of the baseline whose sweep was planted elsewhere; by default the
            one that the config shows, else the worst rate of the baseline's own sweep.

    Returns:
        One check for each problem.
    """
    twin, planted = twin or find_twin(results), planted or find_planted(results)
    return tuple(_check(results, problem.name, twin, planted) for problem in results.problems)


def _check(results: Results, problem: str, twin: str | None, planted: str | None) -> SelfCheck:
    base = _row(results, problem, results.baseline)
    same = compare(results, _row(results, problem, twin) if twin else base, base, "final")
    bad = _row(results, problem, planted) if planted else _worst_row(results, base)
    lost = None if bad is None else compare(results, bad, base, "final")
    return SelfCheck(problem, same, lost)


def _row(results: Results, problem: str, optimizer: str) -> Row:
    return dataclasses.replace(tuned_row(results, problem, optimizer), invalid="")


def _worst_row(results: Results, base: Row) -> Row | None:
    """The baseline's row with the worst rate of its sweep in the place of the best one."""
    worst = _worst(sweep(results, base.problem, base.optimizer))
    if worst is None or base.point is None:
        return None
    return dataclasses.replace(base, optimizer=f"{base.optimizer}, planted rate", point=worst)


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
