"""From the words of a study to optimizers: one configuration, many learning rates."""

import math
from typing import Any

import gradlab as gl
from gradlab import catalog
from gradlab.bench.errors import StudyError
from gradlab.bench.study import OptimizerSpec, Rates, Schedule
from gradlab.core import unknown

LEARNING_RATE = "learning_rate"


def example(spec: OptimizerSpec) -> gl.Transform:
    """Makes the untuned optimizer of a study's entry.

    Args:
        spec: the entry.

    Returns:
        The catalogue's example with the entry's fixed hyperparameters, behind the transformations
        that stand before it.

    Raises:
        StudyError: for a hyperparameter that the method does not have, or a value out of range.
    """
    try:
        links = [_value(link) for link in spec.before]
    except (TypeError, ValueError, KeyError) as error:
        raise StudyError(f"before: {error}") from None
    if not all(isinstance(link, gl.Transform) for link in links):
        raise StudyError("before: each table needs the name of a method of the catalogue")
    entry = catalog.get(spec.name)
    try:
        opt = entry.make(**{name: _value(value) for name, value in spec.fixed.items()})
    except (TypeError, ValueError) as error:
        raise StudyError(f"fixed: {error}") from None
    return gl.chain(*links, opt) if links else opt


def _value(value: Any) -> Any:
    """A table with a name stands for an optimizer, as wrappers take one."""
    if isinstance(value, dict) and "name" in value:
        arguments = {key: _value(part) for key, part in value.items() if key != "name"}
        return catalog.get(value["name"]).make(**arguments)
    return value


def learning_rate_path(opt: gl.Transform) -> str:
    """Finds the one learning rate of an optimizer.

    Args:
        opt: the optimizer.

    Returns:
        The path that `gl.replace` takes, such as `inner.learning_rate`.

    Raises:
        StudyError: where there is none, or more than one.
    """
    paths = [path for path in gl.hyperparameters(opt) if path.split(".")[-1] == LEARNING_RATE]
    if len(paths) != 1:
        found = ", ".join(paths) if paths else "none"
        raise StudyError(f"a study sweeps exactly one learning rate, and {opt!r} has {found}")
    return paths[0]


def default_learning_rate(spec: OptimizerSpec) -> float:
    """Returns the learning rate of the untuned configuration."""
    opt = example(spec)
    return float(gl.hyperparameters(opt)[learning_rate_path(opt)])


def learning_rates(spec: OptimizerSpec, rates: Rates) -> tuple[float, ...]:
    """Lists the learning rates of a sweep.

    Args:
        spec: the optimizer.
        rates: how many rates, and how far apart.

    Returns:
        Ascending rates around the entry's own centre or, where it names none, around the
        geometric centre of the catalogue's search space, shifted; four digits are kept.

    Raises:
        StudyError: where neither gives a centre.
    """
    centre = spec.learning_rate or _search_space_centre(spec.name) * rates.factor**rates.shift
    offsets = [index - (rates.count - 1) / 2 for index in range(rates.count)]
    return tuple(float(f"{centre * rates.factor**offset:.4g}") for offset in offsets)


def _search_space_centre(name: str) -> float:
    for key, (low, high, scale) in catalog.get(name).search_space.items():
        if key.split(".")[-1] == LEARNING_RATE:
            return math.sqrt(low * high) if scale == "log" else (low + high) / 2
    raise StudyError(f"learning_rate: needed, because {name} has none in its search space")


def configured(
    spec: OptimizerSpec, learning_rate: float, schedule: Schedule, horizon: int
) -> gl.Transform:
    """Makes the optimizer of one trial.

    Args:
        spec: the study's entry.
        learning_rate: the peak learning rate.
        schedule: its shape over the run.
        horizon: length of the run [steps].

    Returns:
        The optimizer; two that differ in the learning rate alone can be stacked.
    """
    opt = example(spec)
    value: Any = learning_rate
    if schedule.kind == "warmup_cosine":
        warmup = round(schedule.warmup * horizon)
        end = schedule.end * learning_rate
        value = gl.warmup_cosine_decay_schedule(0.0, learning_rate, warmup, horizon, end)
    return gl.replace(opt, {learning_rate_path(opt): value})


def check_optimizer(spec: OptimizerSpec) -> None:
    """Checks that an entry can be trained with.

    Args:
        spec: the study's entry.

    Raises:
        StudyError: for an unknown method, one that does not minimise a loss by itself, one whose
            needs a study cannot meet, or a wrong hyperparameter; the message begins with the key.
    """
    known = [entry.name for entry in catalog.entries()]
    if spec.name not in known:
        raise StudyError(f"name: {unknown('optimizer', spec.name, known)}")
    entry = catalog.get(spec.name)
    if "stacked" in entry.needs or entry.room == "aggregators":
        raise StudyError(
            f"name: {spec.name!r} combines the gradients of several objectives, and the problems "
            "of a study have one; use an entry of the rooms optimizers or wrappers"
        )
    if entry.kind != "transformation":
        raise StudyError(
            f"name: {spec.name!r} is a {entry.kind}, not an optimizer; use an entry of the rooms "
            "optimizers or wrappers"
        )
    if entry.room not in ("optimizers", "wrappers"):
        raise StudyError(
            f"name: {spec.name!r} only transforms gradients (room {entry.room}) and has no "
            "learning rate of its own; use an entry of the rooms optimizers or wrappers"
        )
    learning_rate_path(example(spec))
    learning_rates(spec, Rates())
