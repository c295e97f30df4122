"""The results of a study as plain data: what a store writes and what a report reads.

Everything that is scored, tabulated or drawn is computed from one `Results`, so a score never
depends on how, where or in which order the trials ran. Times are in seconds, memory in bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

Status = Literal["complete", "diverged", "running", "waiting"]
Piece = Literal["trace", "compile", "data", "step", "evaluation"]

PIECES: tuple[Piece, ...] = ("trace", "compile", "data", "step", "evaluation")
"""The pieces of a run that the timing probe measures apart, in the order in which they happen."""

UNTUNED = -1
"""The `rate_index` of the trials that ran an entry's default configuration."""


def _empty(dtype: Any) -> np.ndarray:
    return np.zeros((0,), dtype=dtype)


def _empty_steps() -> np.ndarray:
    return _empty(np.int64)


def _empty_values() -> np.ndarray:
    return _empty(np.float64)


@dataclass(frozen=True, eq=False)
class Trial:
    """One training run: one optimizer, one learning rate and one seed on one problem.

    Args:
        problem: name of the problem.
        optimizer: label of the study's entry.
        rate_index: position of the learning rate in the entry's sweep, from 0 in ascending order;
            `UNTUNED` for the default configuration.
        learning_rate: peak learning rate [parameter units per step].
        seed: the seed; equal seeds start from equal parameters and see equal batches.
        tuned: True for a trial of the sweep, False for the default configuration.
        status: `complete`, `diverged`, `running` or `waiting`.
        group: hash of the group of trials that ran as one program.
        steps: int64 `[n]`, the steps at which the metric was evaluated, step 0 included.
        values: float64 `[n]`, the metric there (lower is better); NaN after divergence.
        train_steps: int64 `[k]`, the steps at which the training loss was logged.
        train_losses: float64 `[k]`, the training loss there.
        diverged_at: the first step at which the run was no longer finite, or None.
    """

    problem: str
    optimizer: str
    rate_index: int
    learning_rate: float
    seed: int
    tuned: bool
    status: Status
    group: str = ""
    steps: np.ndarray = field(default_factory=_empty_steps)
    values: np.ndarray = field(default_factory=_empty_values)
    train_steps: np.ndarray = field(default_factory=_empty_steps)
    train_losses: np.ndarray = field(default_factory=_empty_values)
    diverged_at: int | None = None

    @property
    def finished(self) -> bool:
        """Whether the trial reached its end, be it by completing or by diverging."""
        return self.status in ("complete", "diverged")


@dataclass(frozen=True)
class Timing:
    """How long one piece of a run takes: compiled for a single trial, run alone, and warm.

    Args:
        problem: name of the problem.
        optimizer: label of the study's entry.
        piece: one of `PIECES`; `step`, `data` are per training step, `evaluation` per evaluation,
            `trace` and `compile` once per program.
        median: median duration [s].
        q25: lower quartile [s].
        q75: upper quartile [s].
        repetitions: number of measurements, each waited for.
    """

    problem: str
    optimizer: str
    piece: Piece
    median: float
    q25: float
    q75: float
    repetitions: int


@dataclass(frozen=True)
class GroupCost:
    """What one group of trials cost that ran as one vmapped program.

    Args:
        problem: name of the problem.
        optimizer: label of the study's entry.
        group: hash of the group.
        trials: number of trials that ran side by side.
        wall_seconds: wall time of the whole group, compilation left out [s].
        compile_seconds: time to trace and compile its programs [s].
        peak_memory_bytes: peak memory [bytes], or None where it is unknown.
        memory_source: what that number is, e.g. the compiled program's own analysis.
        state_bytes_per_parameter: size of one trial's optimizer state [bytes per parameter].
        parameters: number of parameters of one trial.
        gradient_evaluations_per_step: gradients that one step evaluates (SAM: 2).
    """

    problem: str
    optimizer: str
    group: str
    trials: int
    wall_seconds: float
    compile_seconds: float
    peak_memory_bytes: int | None
    memory_source: str
    state_bytes_per_parameter: float
    parameters: int
    gradient_evaluations_per_step: float


@dataclass(frozen=True)
class ProblemInfo:
    """One problem of a study, with the target that was fixed before anything ran.

    Args:
        name: identifier of the problem.
        title: what a reader sees.
        metric: name of the evaluation metric (lower is better).
        metric_unit: its unit, empty for a pure number.
        target: the value of the metric to reach.
        target_origin: how the target was set, and from which runs.
        horizon: length of a run [steps].
        batch_size: examples per step.
        schedule: shape of the learning rate over the horizon, in words.
        parameters: number of parameters of the model.
    """

    name: str
    title: str
    metric: str
    metric_unit: str
    target: float
    target_origin: str
    horizon: int
    batch_size: int
    schedule: str
    parameters: int


@dataclass(frozen=True, eq=False)
class Trajectory:
    """The path of one optimizer over a two-dimensional landscape.

    Args:
        landscape: name of the landscape.
        optimizer: label of the optimizer.
        learning_rate: its learning rate [coordinate units per step].
        points: float64 `[n, 2]`, the iterates, the start included.
        values: float64 `[n]`, the landscape's value there.
    """

    landscape: str
    optimizer: str
    learning_rate: float
    points: np.ndarray
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class Results:
    """Everything that a study measured and everything needed to judge it.

    Args:
        name: name of the study.
        config: the resolved study, defaults filled in.
        config_hash: hash of `config`.
        directory: where the study's raw logs are.
        baseline: label of the optimizer that every other one is compared with.
        problems: the problems, in the study's order.
        optimizers: labels of the optimizers, in the study's order.
        trials: every trial, in any order.
        timings: the timing probe's measurements.
        costs: one record for each group that ran.
        environment: device, versions, precision, revision, start and end.
        trajectories: paths over two-dimensional landscapes.
        command: the one command that runs the study again.
        incomplete: points of the protocol that this study is known not to meet, each as
            `"<number>: <reason>"`.
    """

    name: str
    config: dict[str, Any]
    config_hash: str
    directory: Path
    baseline: str
    problems: tuple[ProblemInfo, ...]
    optimizers: tuple[str, ...]
    trials: tuple[Trial, ...]
    timings: tuple[Timing, ...] = ()
    costs: tuple[GroupCost, ...] = ()
    environment: dict[str, Any] = field(default_factory=dict)
    trajectories: tuple[Trajectory, ...] = ()
    command: str = ""
    incomplete: tuple[str, ...] = ()

    def problem(self, name: str) -> ProblemInfo:
        """The problem called `name`.

        Raises:
            KeyError: if the study has no such problem.
        """
        for problem in self.problems:
            if problem.name == name:
                return problem
        raise KeyError(f"no problem {name!r}; there are {[p.name for p in self.problems]}")

    def select(
        self,
        problem: str,
        optimizer: str,
        *,
        tuned: bool | None = None,
        rate_index: int | None = None,
    ) -> tuple[Trial, ...]:
        """The trials of one optimizer on one problem, ordered by learning rate and seed.

        Args:
            problem: name of the problem.
            optimizer: label of the optimizer.
            tuned: only trials of the sweep (True) or of the default configuration (False).
            rate_index: only trials of this learning rate.

        Returns:
            The matching trials, possibly none.
        """
        return tuple(
            trial
            for trial in self._by_pair.get((problem, optimizer), ())
            if (tuned is None or trial.tuned == tuned)
            and (rate_index is None or trial.rate_index == rate_index)
        )

    @cached_property
    def _by_pair(self) -> dict[tuple[str, str], list[Trial]]:
        """Trials of each problem and optimizer, sorted once: a study may hold many thousands."""
        pairs: dict[tuple[str, str], list[Trial]] = {}
        for trial in sorted(self.trials, key=lambda trial: (trial.rate_index, trial.seed)):
            pairs.setdefault((trial.problem, trial.optimizer), []).append(trial)
        return pairs
