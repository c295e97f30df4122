"""Reads the results of a study back from its directory, finished or not."""

from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial

from gradlab import catalog
from gradlab.bench import segments, trajectories
from gradlab.bench.curves import by_trial
from gradlab.bench.directory import Directory, read_json, stored_study
from gradlab.bench.grid import Group, groups, made
from gradlab.bench.programs import MEMORY_SOURCE
from gradlab.bench.results import GroupCost, ProblemInfo, Results, Trajectory, Trial
from gradlab.bench.study import ProblemSpec, Study
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
    for group in groups(study):
        table, facts = segments.read_curves(paths.group(group))
        trials += _trials(group, table, known)
        if facts:
            costs.append(_cost(group, facts))
    return Results(
        name=study.name,
        config=stored["resolved"],
        config_hash=stored["hash"],
        directory=paths.root.resolve(),
        baseline=study.baseline,
        problems=tuple(_problem_info(study, spec) for spec in study.problems),
        optimizers=tuple(optimizer.label for optimizer in study.optimizers),
        trials=tuple(trials),
        timings=stored_timings(study, paths),
        costs=tuple(costs),
        environment=read_json(paths.environment) if paths.environment.is_file() else {},
        trajectories=_trajectories(study, paths),
        command=stored["command"],
        incomplete=_incomplete(study),
    )


def _trials(group: Group, table: Any, known: dict[int, FrozenTrial]) -> list[Trial]:
    numbers = [number for number, _, _ in group.trials]
    nothing = [(np.zeros(0, np.int64), np.zeros(0))] * len(numbers)
    losses = nothing if table is None else by_trial(table, "loss", numbers)
    values = nothing if table is None else by_trial(table, "value", numbers)
    found = []
    for (number, row, seed), loss, (steps, value) in zip(group.trials, losses, values, strict=True):
        trial = known.get(number)
        diverged_at = trial.user_attrs.get("diverged_at") if trial else None
        if diverged_at is not None:
            value = np.where(steps >= diverged_at, np.nan, value)
        found.append(
            Trial(
                problem=group.problem.name,
                optimizer=group.optimizer.label,
                rate_index=row.rate_index,
                learning_rate=row.learning_rate,
                seed=seed,
                tuned=row.tuned,
                status=STATUS[trial.state] if trial else "waiting",
                group=group.digest,
                steps=steps,
                values=value,
                train_steps=loss[0],
                train_losses=loss[1],
                diverged_at=diverged_at,
            )
        )
    return found


def _cost(group: Group, facts: list[dict[str, Any]]) -> GroupCost:
    return GroupCost(
        problem=group.problem.name,
        optimizer=group.optimizer.label,
        group=group.digest,
        trials=len(group.trials),
        wall_seconds=sum(fact["wall_seconds"] for fact in facts),
        compile_seconds=sum(fact["compile_seconds"] for fact in facts),
        peak_memory_bytes=facts[-1]["peak_memory_bytes"],
        memory_source=MEMORY_SOURCE,
        state_bytes_per_parameter=facts[-1]["state_bytes_per_parameter"],
        parameters=made(group.problem).parameters,
        gradient_evaluations_per_step=catalog.get(group.optimizer.name).traits.gradient_evaluations,
    )


def _problem_info(study: Study, spec: ProblemSpec) -> ProblemInfo:
    problem = made(spec)
    return ProblemInfo(
        name=spec.name,
        title=problem.title,
        metric=problem.metric,
        metric_unit=problem.metric_unit,
        target=spec.target,
        target_origin=spec.target_origin,
        horizon=spec.horizon,
        batch_size=problem.batch_size,
        schedule=study.schedule.words,
        parameters=problem.parameters,
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
