"""Scores over all problems: performance profile, geometric mean, learning-rate sensitivity."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gradlab.bench.results import Results
from gradlab.bench.rows import Row, SweepPoint

R_MAX = 4.0
"""The largest ratio to the best that still earns credit in a performance profile."""


@dataclass(frozen=True)
class Profile:
    """How often an optimizer comes within a factor of the best one.

    Args:
        optimizer: label of the optimizer.
        measure: the cost that is profiled.
        ratios: for each problem its cost over the lowest cost of any optimizer; a miss is infinity.
        taus: the factors at which the profile is given, from 1 to `R_MAX`.
        fractions: the fraction of problems whose ratio is at most tau.
        score: area under the profile between 1 and `R_MAX`, over `R_MAX − 1`; in [0, 1].
    """

    optimizer: str
    measure: str
    ratios: tuple[float, ...]
    taus: tuple[float, ...]
    fractions: tuple[float, ...]
    score: float


@dataclass(frozen=True)
class Relative:
    """Cost relative to the reference, as a geometric mean over problems.

    Args:
        optimizer: label of the optimizer.
        measure: the cost that is compared.
        mean: geometric mean over the problems that the reference reached; one miss makes it
            infinite, and below 1 is cheaper than the reference. NaN where no problem compares.
        mean_reached: the same over the problems that both reached.
        reached: number of problems that both reached.
        compared: number of problems that the reference reached.
    """

    optimizer: str
    measure: str
    mean: float
    mean_reached: float
    reached: int
    compared: int


@dataclass(frozen=True)
class Sensitivity:
    """How much a badly chosen learning rate costs on one problem.

    Args:
        problem: name of the problem.
        optimizer: label of the optimizer.
        value: mean over the sweep of `min(L, L0) − min L` [unit of the metric].
        initial: `L0`, the metric before training.
        rates: number of learning rates behind it.
    """

    problem: str
    optimizer: str
    value: float
    initial: float
    rates: int


def performance_profile(
    costs: Mapping[str, Sequence[float]], measure: str = "", r_max: float = R_MAX
) -> tuple[Profile, ...]:
    """Performance profiles of several optimizers over the same problems.

    `r(s, p) = t(s, p) / min_s t(s, p)`, `ρ_s(τ)` is the fraction of problems with `r(s, p) ≤ τ`,
    and the score is `1 / (r_max − 1) ∫ ρ_s(τ) dτ` over `[1, r_max]`, computed exactly.

    Args:
        costs: for each optimizer its cost on every problem, in one common order; infinity for a
            miss. A cost of zero is the best possible and counts as a ratio of 1.
        measure: name of the cost, kept in the result.
        r_max: upper end of the integral, above 1.

    Returns:
        One profile for each optimizer. A problem that nobody solved earns nobody credit.

    Raises:
        ValueError: if `r_max` is not above 1 or the optimizers saw different numbers of problems.

    References:
        Dolan, Moré, Benchmarking optimization software with performance profiles, Mathematical
        Programming 91, 2002. Dahl et al., Benchmarking Neural Network Training Algorithms,
        arXiv:2306.07179, 2023 (the score, with r_max = 4).
    """
    if not r_max > 1:
        raise ValueError(f"r_max={r_max} is not above 1")
    if len({len(row) for row in costs.values()}) > 1:
        raise ValueError("every optimizer needs a cost for every problem")
    table = np.array([list(row) for row in costs.values()], dtype=np.float64)
    ratios = _ratios(np.where(np.isnan(table), np.inf, table))
    inside = np.unique(ratios[np.isfinite(ratios) & (ratios < r_max)])
    taus = np.unique(np.concatenate([[1.0], inside, [r_max]]))
    return tuple(
        Profile(
            optimizer=name,
            measure=measure,
            ratios=tuple(row.tolist()),
            taus=tuple(taus.tolist()),
            fractions=tuple(float(np.mean(row <= tau)) for tau in taus) if row.size else (),
            score=float(np.mean(np.maximum(r_max - row, 0)) / (r_max - 1)) if row.size else 0.0,
        )
        for name, row in zip(costs, ratios, strict=True)
    )


def _ratios(table: np.ndarray) -> np.ndarray:
    if table.size == 0:
        return table
    best = table.min(axis=0, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = table / best
    ratios = np.where(table == best, 1.0, ratios)
    return np.where(np.isfinite(table), ratios, np.inf)


def relative_cost(
    optimizer: str, costs: Sequence[float], reference: Sequence[float], measure: str = ""
) -> Relative:
    """The geometric mean over problems of an optimizer's cost relative to the reference.

    `exp(mean log(cost / reference))` over the problems that the reference reached.

    Args:
        optimizer: label of the optimizer.
        costs: its cost on each problem, infinity or NaN for a miss.
        reference: the reference's cost on the same problems.
        measure: name of the cost, kept in the result.

    Returns:
        The mean with and without the problems that the optimizer missed, and how many they were.
    """
    pairs = [(a, b) for a, b in zip(costs, reference, strict=True) if math.isfinite(b) and b > 0]
    both = [math.log(a / b) for a, b in pairs if math.isfinite(a) and a > 0]
    mean_reached = math.exp(sum(both) / len(both)) if both else math.nan
    complete = len(both) == len(pairs)
    mean = (mean_reached if complete else math.inf) if pairs else math.nan
    return Relative(optimizer, measure, mean, mean_reached, len(both), len(pairs))


def profile_costs(rows: Sequence[Row], results: Results, measure: str) -> dict[str, list[float]]:
    """The cost of every optimizer's tuned row on every problem; an invalid row earns no credit."""
    table = {(row.problem, row.optimizer): row for row in rows if row.tuned}
    return {
        optimizer: [
            row.cost(measure) if (row := table[problem.name, optimizer]).valid else math.inf
            for problem in results.problems
        ]
        for optimizer in results.optimizers
    }


def learning_rate_sensitivity(
    results: Results, problem: str, optimizer: str, points: Sequence[SweepPoint]
) -> Sensitivity:
    """The mean loss that a learning rate drawn from the sweep costs over the best one.

    `E[min(L(η), L0) − min L]` over the sweep's learning rates, with `L` the mean final value over
    seeds and `L0` the value before training, which also stands in for a diverged rate.

    Args:
        results: the study.
        problem: name of the problem.
        optimizer: label of the optimizer.
        points: its sweep.

    Returns:
        The sensitivity, NaN where no rate has finished. Two optimizers compare only where their
        sweeps have equally many rates an equal factor apart.

    References:
        Wortsman et al., Small-scale proxies for large-scale Transformer training instabilities,
        arXiv:2309.14322, 2023.
    """
    starts = [
        float(trial.values[0])
        for trial in results.select(problem, optimizer, tuned=True)
        if trial.values.size and trial.steps[0] == 0 and math.isfinite(trial.values[0])
    ]
    initial = float(np.mean(starts)) if starts else math.inf
    finals = [point.final.center for point in points if point.finished]
    bounded = [min(final, initial) for final in finals]
    best = min(finals, default=math.inf)
    if not math.isfinite(best) or not all(math.isfinite(value) for value in bounded):
        return Sensitivity(problem, optimizer, math.nan, initial, len(finals))
    value = float(np.mean(bounded)) - min(best, initial)
    return Sensitivity(problem, optimizer, value, initial, len(finals))
