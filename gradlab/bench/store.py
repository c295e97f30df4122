"""Reads the results of a study back from its directory, finished or not."""

from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial

from gradlab.bench import segments, trajectories
from gradlab.bench.curves import by_trial
from gradlab.bench.directory import Directory, read_json, stored_study
from gradlab.bench.grid import GroupRecord
from gradlab.bench.programs import MEMORY_SOURCE
from gradlab.bench.results import (
    UNTUNED,
    GroupCost,
    ProblemInfo,
    Results,
    Trajectory,
    Trial,
)
from gradlab.bench.study import Study
from gradlab.bench.timing import stored_timings
from gradlab.bench.trials import STATUS, Trials


def load_results(directory: Path | str) -> Results:
    """Reads everything that a study has measured so far.

    Args:
        directory: the study's directory.

    Returns:
        The results; of a study that is still running, what is there.

    Raises:
        StudyError: where the directory holds no study.
    """
    paths = Directory(Path(directory))
    study, stored = stored_study(paths.root)
    known: dict[int, FrozenTrial] = {}
    if paths.trials.is_file():
        known = {trial.number: trial for trial in Trials(paths.trials, study.name).all()}
    trials: list[Trial] = []
    costs: list[GroupCost] = []
    for group in (GroupRecord(**stored_group) for stored_group in stored["groups"]):
        table, facts = segments.read_curves(paths.group(group.name))
        trials += _trials(group, table, known)
        if facts:
            costs.append(_cost(group, facts))
    return Results(
        name=study.name,
        config=stored["resolved"],
        config_hash=stored["hash"],
        directory=paths.root.resolve(),
        baseline=study.baseline,
        problems=tuple(ProblemInfo(**info) for info in stored["problems"]),
        optimizers=tuple(optimizer.label for optimizer in study.optimizers),
        trials=tuple(trials),
        timings=stored_timings(study, paths),
        costs=tuple(costs),
        environment=read_json(paths.environment) if paths.environment.is_file() else {},
        trajectories=_trajectories(study, paths),
        command=stored["command"],
        incomplete=_incomplete(study),
    )


def _trials(group: GroupRecord, table: Any, known: dict[int, FrozenTrial]) -> list[Trial]:
    numbers = [number for number, *_ in group.trials]
    nothing = [(np.zeros(0, np.int64), np.zeros(0))] * len(numbers)
    losses = nothing if table is None else by_trial(table, "loss", numbers)
    values = nothing if table is None else by_trial(table, "value", numbers)
    curves = zip(group.trials, losses, values, strict=True)
    return [_trial(group, *curve, known.get(curve[0][0])) for curve in curves]


def _trial(
    group: GroupRecord,
    facts: tuple[int, int, float, int],
    losses: tuple[np.ndarray, np.ndarray],
    values: tuple[np.ndarray, np.ndarray],
    trial: FrozenTrial | None,
) -> Trial:
    _, rate_index, learning_rate, seed = facts
    diverged_at = trial.user_attrs.get("diverged_at") if trial else None
    steps, metric = values
    if diverged_at is not None:
        metric = np.where(steps >= diverged_at, np.nan, metric)
    return Trial(
        problem=group.problem,
        optimizer=group.optimizer,
        rate_index=rate_index,
        learning_rate=learning_rate,
        seed=seed,
        tuned=rate_index != UNTUNED,
        status=STATUS[trial.state] if trial else "waiting",
        group=group.digest,
        steps=steps,
        values=metric,
        train_steps=losses[0],
        train_losses=losses[1],
        diverged_at=diverged_at,
    )


def _cost(group: GroupRecord, facts: list[dict[str, Any]]) -> GroupCost:
    last = facts[-1]
    return GroupCost(
        problem=group.problem,
        optimizer=group.optimizer,
        group=group.digest,
        trials=len(group.trials),
        wall_seconds=sum(fact["wall_seconds"] for fact in facts),
        compile_seconds=sum(fact["compile_seconds"] for fact in facts),
        peak_memory_bytes=last["peak_memory_bytes"],
        memory_source=MEMORY_SOURCE,
        state_bytes_per_parameter=last["state_bytes_per_parameter"],
        parameters=last["parameters"],
        gradient_evaluations_per_step=last["gradient_evaluations_per_step"],
    )


def _trajectories(study: Study, paths: Directory) -> tuple[Trajectory, ...]:
    found: list[Trajectory] = []
    for index, optimizer in enumerate(study.optimizers):
        path = paths.trajectories(index)
        if path.is_file():
            found += trajectories.read(path, optimizer.label)
    return tuple(found)


def _incomplete(study: Study) -> tuple[str, ...]:
    """What the measurements themselves do not show about the protocol."""
    found = []
    repetitions = study.probe.compile_repetitions
    if repetitions < 30:
        times = "once" if repetitions == 1 else f"{repetitions} times"
        found.append(
            f"3: tracing and compiling are timed {times} for each optimizer, not 30 times, "
            "because they take most of a short study's time; they have no spread"
        )
    if study.name.endswith("-tiny"):
        found.append("1: the tiny version trains too briefly for the targets of the whole study")
    return tuple(found)
