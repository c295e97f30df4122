"""The twelve points that make a benchmark believable, each checked against the results."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from gradlab.bench.comparisons import FEWEST_SEEDS
from gradlab.bench.intervals import METHOD
from gradlab.bench.results import PIECES, Results
from gradlab.bench.rows import costs, sweep, timing, tuned_row, untuned_row
from gradlab.bench.selfcheck import find_planted, find_twin, self_check

FEWEST_REPETITIONS = 30
"""Repetitions that the timing probe needs of every piece that a run repeats."""

FEWEST_PROBLEMS = 3
FEWEST_RATES = 3

ENVIRONMENT = ("device", "python", "jax", "jaxlib", "optax", "gradlab", "precision")
"""What the environment has to name."""


@dataclass(frozen=True)
class Point:
    """One point of the protocol.

    Args:
        number: 1 to 12.
        title: what the point asks for.
        met: whether this study meets it.
        reason: what was found.
    """

    number: int
    title: str
    met: bool
    reason: str


def protocol(results: Results) -> tuple[Point, ...]:
    """Check the twelve points of the benchmark's protocol against the results themselves.

    Args:
        results: the study.

    Returns:
        Twelve points in order, each met or not, with what was found. A point that the study itself
        declares incomplete is not met.
    """
    declared = _declared(results)
    points = []
    for number, (title, check) in enumerate(_CHECKS, start=1):
        problems, found = check(results)
        problems = [*problems, *declared.get(number, [])]
        reason = "; ".join(problems) if problems else found
        points.append(Point(number, title, not problems, reason))
    return tuple(points)


def _declared(results: Results) -> dict[int, list[str]]:
    declared: dict[int, list[str]] = {}
    for line in results.incomplete:
        match = re.match(r"\D{0,6}(\d+)\s*[:.–-]\s*(.*)", line, re.DOTALL)
        if match:
            declared.setdefault(int(match[1]), []).append(match[2].strip())
    return declared


def _pairs(results: Results) -> Iterator[tuple[str, str]]:
    for problem in results.problems:
        for optimizer in results.optimizers:
            yield problem.name, optimizer


def _named(pairs: Iterable[tuple[str, str]], limit: int = 4) -> str:
    names = [f"{optimizer} on {problem}" for problem, optimizer in pairs]
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + rest


def _missing(what: str, pairs: list[tuple[str, str]]) -> list[str]:
    return [f"{what}: {_named(pairs)}"] if pairs else []


Found = tuple[list[str], str]


def _targets(results: Results) -> Found:
    bad = [p.name for p in results.problems if not (p.target_origin and math.isfinite(p.target))]
    problems = [f"no target or no origin of it for {', '.join(bad)}"] if bad else []
    return problems, f"a target with its origin for each of {len(results.problems)} problems"


def _costs_to_target(results: Results) -> Found:
    rows = [(pair, tuned_row(results, *pair)) for pair in _pairs(results)]
    problems = _missing("nothing finished", [pair for pair, row in rows if row.point is None])
    problems += _missing(
        "gradient evaluations unknown", [p for p, row in rows if math.isnan(row.gradients_per_step)]
    )
    problems += _missing(
        "time of a step unknown", [p for p, row in rows if math.isnan(row.seconds_per_step)]
    )
    missed = sum(len(row.hits) - row.reached for _, row in rows)
    total = sum(len(row.hits) for _, row in rows)
    return problems, f"{missed} of {total} tuned trials missed their target and are shown as ∞"


def _timings(results: Results) -> Found:
    lacking, few = [], []
    for pair in _pairs(results):
        pieces = {piece: timing(results, *pair, piece) for piece in PIECES}
        if any(piece is None for piece in pieces.values()):
            lacking.append(pair)
        repeated = [pieces[piece] for piece in ("data", "step", "evaluation")]
        if any(piece is not None and piece.repetitions < FEWEST_REPETITIONS for piece in repeated):
            few.append(pair)
    problems = _missing("not all five pieces timed", lacking)
    problems += _missing(f"fewer than {FEWEST_REPETITIONS} repetitions", few)
    unnamed = [key for key in ENVIRONMENT if not results.environment.get(key)]
    problems += [f"the environment does not name {', '.join(unnamed)}"] if unnamed else []
    device = results.environment.get("device", "")
    return problems, f"trace, compile, data, step and evaluation timed apart on {device}"


def _whole_sweep(results: Results) -> Found:
    sweeps = {pair: sweep(results, *pair) for pair in _pairs(results)}
    problems = _missing(
        f"fewer than {FEWEST_RATES} rates", [p for p, s in sweeps.items() if len(s) < FEWEST_RATES]
    )
    problems += _missing(
        "unfinished", [p for p, s in sweeps.items() if not all(point.finished for point in s)]
    )
    widths = {_width(points) for points in sweeps.values() if points}
    if len(widths) > 1:
        problems.append("the sweeps differ in the number of rates or in their width")
    edges = [pair for pair in sweeps if tuned_row(results, *pair).edge]
    marked = f"marked invalid at the edge: {_named(edges)}" if edges else "no best at an edge"
    return problems, f"{len(next(iter(sweeps.values()), ()))} rates each; {marked}"


def _width(points) -> tuple[int, float]:
    first, last = points[0].learning_rate, points[-1].learning_rate
    return len(points), round(math.log10(last / first), 2) if first > 0 else math.nan


def _tuned_and_not(results: Results) -> Found:
    lacking = [p for p in _pairs(results) if not untuned_row(results, *p).valid]
    problems = _missing("no finished default", lacking)
    budgets = {p: len(results.select(*p, tuned=True)) for p in _pairs(results)}
    unequal = [p for p in budgets if budgets[p] != budgets.get((p[0], results.baseline))]
    problems += _missing("tuned with another budget than the baseline", unequal)
    budget = max(budgets.values(), default=0)
    return problems, f"default and {budget} tuning trials for every optimizer, baseline included"


def _seeds(results: Results) -> Found:
    few = []
    for pair in _pairs(results):
        points = sweep(results, *pair)
        if not points or min(len(point.seeds) for point in points) < FEWEST_SEEDS:
            few.append(pair)
    problems = _missing(f"fewer than {FEWEST_SEEDS} seeds", few)
    frozen = [p.name for p in results.problems if _seeds_change_nothing(results, p.name)]
    problems += [f"seeds change nothing on {', '.join(frozen)}"] if frozen else []
    count = len({trial.seed for trial in results.trials})
    return problems, f"{count} seeds, all listed; {METHOD}; no claim where intervals overlap"


def _seeds_change_nothing(results: Results, problem: str) -> bool:
    """Whether all seeds end equal, so that an interval over seeds would promise too much."""
    points = [s for optimizer in results.optimizers for s in sweep(results, problem, optimizer)]
    several = [p for p in points if len(p.finals) > 1 and all(map(math.isfinite, p.finals))]
    return bool(several) and all(len(set(point.finals)) == 1 for point in several)


def _memory(results: Results) -> Found:
    unknown, unsized = [], []
    for pair in _pairs(results):
        groups = costs(results, *pair)
        if not groups or any(c.peak_memory_bytes is None or not c.memory_source for c in groups):
            unknown.append(pair)
        if not groups or any(math.isnan(c.state_bytes_per_parameter) for c in groups):
            unsized.append(pair)
    problems = _missing("no peak memory with its source", unknown)
    problems += _missing("no state bytes", unsized)
    sources = ", ".join(sorted({cost.memory_source for cost in results.costs}))
    return problems, f"peak memory ({sources}) and state bytes per parameter for all"


def _end_of_training(results: Results) -> Found:
    unnamed = [p.name for p in results.problems if not p.schedule or p.horizon <= 0]
    problems = [f"no schedule or horizon for {', '.join(unnamed)}"] if unnamed else []
    horizons = {p.name: p.horizon for p in results.problems}
    early = {
        (trial.problem, trial.optimizer)
        for trial in results.trials
        if trial.status == "complete"
        and (trial.steps.size == 0 or trial.steps[-1] != horizons.get(trial.problem))
    }
    problems += _missing("not evaluated at the horizon", sorted(early))
    running = sum(not trial.finished for trial in results.trials)
    problems += [f"{running} trials have not finished"] if running else []
    return problems, "every run ended at its horizon; tables rank by the value there"


def _problems(results: Results) -> Found:
    problems, count = [], len(results.problems)
    if count < FEWEST_PROBLEMS:
        problems.append(f"{count} problems, {FEWEST_PROBLEMS} are needed")
    ran = {(trial.problem, trial.optimizer) for trial in results.trials}
    absent = [p.name for p in results.problems if (p.name, results.baseline) not in ran]
    problems += [f"the baseline did not run on {', '.join(absent)}"] if absent else []
    return problems, f"{count} problems with {results.baseline} as the reference on each"


def _repeatable(results: Results) -> Found:
    problems = []
    if not results.config_hash:
        problems.append("no config hash")
    if not results.command:
        problems.append("no command to run it again")
    unlogged = {
        (trial.problem, trial.optimizer)
        for trial in results.trials
        if trial.finished and trial.train_losses.size == 0
    }
    problems += _missing("no per-step log", sorted(unlogged))
    return problems, f"config {results.config_hash[:12]}, per-step logs of every trial, one command"


def _implementation(results: Results) -> Found:
    lacking = [
        pair
        for pair in _pairs(results)
        if timing(results, *pair, "step") is None or not costs(results, *pair)
    ]
    problems = _missing("implementation speed unknown", lacking)
    return problems, "implementation speed is in tables of its own"


def _self_check(results: Results) -> Found:
    checks = self_check(results)
    problems = []
    for check in checks:
        if check.same.verdict != "no difference shown":
            problems.append(f"the baseline differs from itself on {check.problem}")
        if check.planted is None or check.planted.verdict != "worse":
            problems.append(f"a planted bad rate does not lose on {check.problem}")
    base, twin = results.baseline, find_twin(results)
    other = f"its second copy {twin}" if twin else "itself (the very same trials)"
    bad = find_planted(results) or "the worst rate of its own sweep"
    return problems, f"{base} shows no difference against {other}; {bad}, planted, loses"


_CHECKS: tuple[tuple[str, Callable[[Results], Found]], ...] = (
    ("Targets fixed before the runs, with their origin", _targets),
    ("Steps, gradients and seconds to target, and final value; a miss is shown", _costs_to_target),
    ("Compile, data, evaluation and step time apart; device and versions named", _timings),
    ("The whole learning-rate sweep; a best at its edge is invalid", _whole_sweep),
    ("Untuned and tuned, the baseline with the same budget", _tuned_and_not),
    ("Every seed, intervals, and no claim without evidence", _seeds),
    ("Peak memory and state bytes per parameter", _memory),
    ("Schedule and horizon named, ranking only at the end", _end_of_training),
    ("Three problems or more with a reference always present", _problems),
    ("Config hash, raw logs, one command to run again", _repeatable),
    ("Implementation speed in tables of its own", _implementation),
    ("Self-check: equals come out equal, a planted bad rate loses", _self_check),
)
