"""Everything about a study that needs the catalogue and the problems to be checked."""

import inspect
from collections.abc import Sequence
from typing import Any

from gradlab import problems
from gradlab.bench.configure import check_optimizer
from gradlab.bench.errors import StudyError
from gradlab.bench.study import ProblemSpec, Study, shrink
from gradlab.core import unknown


def check(study: Study) -> None:
    """Checks the names, labels and numbers of a study against each other and the catalogue.

    Args:
        study: the study.

    Raises:
        StudyError: for the first thing that is wrong; the message begins with its key.
    """
    _distinct("optimizers", "label", [optimizer.label for optimizer in study.optimizers])
    _distinct("problems", "name", [problem.name for problem in study.problems])
    _distinct("seeds", "", study.seeds)
    for index, optimizer in enumerate(study.optimizers):
        try:
            check_optimizer(optimizer)
        except StudyError as error:
            raise StudyError(f"optimizers[{index}].{error}") from None
    for index, problem in enumerate(study.problems):
        _check_problem(f"problems[{index}]", problem)
    labels = [optimizer.label for optimizer in study.optimizers]
    if study.baseline not in labels:
        raise StudyError(f"baseline: {unknown('label', study.baseline, labels)}")
    _check_landscapes("trajectories", study.trajectories.landscapes)
    if study.tiny is not None:
        _check_tiny(study)


def problem_settings(spec: ProblemSpec) -> dict[str, Any]:
    """Returns all settings of a problem, those that the study leaves alone included."""
    maker = getattr(problems, spec.name)
    defaults = {name: p.default for name, p in inspect.signature(maker).parameters.items()}
    return {**defaults, **spec.settings}


def _distinct(table: str, field: str, values: Sequence[Any]) -> None:
    seen: set[Any] = set()
    for index, value in enumerate(values):
        if value in seen:
            key = f"{table}[{index}].{field}".rstrip(".")
            raise StudyError(f"{key}: {value!r} appears twice; every one must be different")
        seen.add(value)


def _check_problem(key: str, problem: ProblemSpec) -> None:
    if problem.name not in problems.names():
        raise StudyError(f"{key}.name: {unknown('problem', problem.name, problems.names())}")
    allowed = inspect.signature(getattr(problems, problem.name)).parameters
    for name, value in problem.settings.items():
        if name not in allowed:
            raise StudyError(f"{key}.settings: {unknown('setting', name, allowed)}")
        wanted = type(allowed[name].default)
        if type(value) is not wanted or (wanted is int and value < 1):
            kind = "a positive whole number" if wanted is int else wanted.__name__
            raise StudyError(f"{key}.settings.{name}: {value!r} is not allowed: it must be {kind}")
    if problem.horizon % problem.evaluations:
        raise StudyError(
            f"{key}.evaluations: {problem.evaluations} is not allowed: it must divide the horizon "
            f"of {problem.horizon} steps"
        )


def _check_landscapes(key: str, names: Sequence[str]) -> None:
    for index, name in enumerate(names):
        if name not in problems.landscape_names():
            message = unknown("landscape", name, problems.landscape_names())
            raise StudyError(f"{key}.landscapes[{index}]: {message}")


def _check_tiny(study: Study) -> None:
    small = shrink(study)
    labels = [optimizer.label for optimizer in small.optimizers]
    if small.baseline not in labels:
        raise StudyError(f"tiny.optimizers: they must hold the baseline {small.baseline!r}")
    for problem in small.problems:
        _check_problem(f"tiny.problems[{problem.name}]", problem)
    _check_landscapes("tiny.trajectories", small.trajectories.landscapes)
