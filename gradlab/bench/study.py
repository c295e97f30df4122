"""A study as it is written down: which optimizers run on which problems, and how."""

import tomllib
from pathlib import Path
from typing import Any, Literal

import pydantic
from pydantic import Field

from gradlab.bench.errors import StudyError
from gradlab.core import unknown


class Part(pydantic.BaseModel):
    """A table of a study file: unknown fields are refused, values cannot change."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class Rates(Part):
    """The learning rates of every sweep: `count` rates, each `factor` times the one before.

    `shift` moves all sweeps that are centred on the catalogue's search space up by so many rates.
    """

    count: int = Field(default=7, ge=1)
    factor: float = Field(default=10**0.5, gt=1)
    shift: int = 0


class Schedule(Part):
    """The shape of the learning rate over a run; the swept rate is its peak.

    `warmup` is the fraction of the horizon spent rising from zero, `end` the last rate as a
    fraction of the peak. Both are only used by `warmup_cosine`.
    """

    kind: Literal["constant", "warmup_cosine"] = "constant"
    warmup: float = Field(default=0.1, ge=0, lt=1)
    end: float = Field(default=0.0, ge=0, le=1)

    @property
    def words(self) -> str:
        """The schedule as a reader would say it."""
        if self.kind == "constant":
            return "constant"
        warmup, end = f"{100 * self.warmup:g} %", f"{100 * self.end:g} %"
        return f"linear warm-up over {warmup} of the steps, then cosine decay to {end} of the peak"


class Probe(Part):
    """How often the timing probe repeats a measurement."""

    repetitions: int = Field(default=30, ge=1)
    compile_repetitions: int = Field(default=1, ge=1)


class Trajectories(Part):
    """The two-dimensional landscapes on which every optimizer's path is recorded.

    Of the paths with the learning rates in `rates` the one that ends lowest is kept: coordinates
    of a landscape are of order one, so the rates that suit a network say nothing here.
    """

    landscapes: tuple[str, ...] = ()
    steps: int = Field(default=200, ge=1)
    rates: tuple[float, ...] = Field(
        default=(1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0), min_length=1
    )


class ProblemSpec(Part):
    """One problem of a study.

    `target` is the value of the metric whose reaching is timed, and `target_origin` says how it
    was set; the metric is evaluated at the start and then `evaluations` times, evenly spaced.
    """

    name: str
    horizon: int = Field(ge=1)
    evaluations: int = Field(default=10, ge=1)
    target: float
    target_origin: str = Field(min_length=1)
    settings: dict[str, Any] = {}

    @property
    def segment_length(self) -> int:
        """Training steps between two evaluations."""
        return self.horizon // self.evaluations


class OptimizerSpec(Part):
    """One optimizer of a study.

    `name` is its name in the catalogue and `label` the name in the results. `fixed` holds
    hyperparameters that differ from the catalogue's example, `learning_rate` the centre of the
    sweep where it is not the centre of the catalogue's search space. `before` lists what stands
    before it in a chain: tables with a name of the catalogue and hyperparameters. `published`
    says in words what others found, for the table that is committed beside the study.
    """

    name: str
    label: str = ""
    before: tuple[dict[str, Any], ...] = ()
    fixed: dict[str, Any] = {}
    learning_rate: float | None = Field(default=None, gt=0)
    published: str = ""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _label_is_name(cls, data: Any) -> Any:
        if isinstance(data, dict) and not data.get("label"):
            return {**data, "label": data.get("name", "")}
        return data


class TinyProblem(Part):
    """What the tiny version changes in one problem."""

    name: str
    horizon: int = Field(ge=1)
    evaluations: int = Field(default=2, ge=1)
    settings: dict[str, Any] = {}


class Tiny(Part):
    """The tiny version of a study, to see in a minute that everything works."""

    optimizers: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    rates: Rates = Rates(count=3)
    probe: Probe = Probe()
    trajectories: Trajectories = Trajectories()
    problems: tuple[TinyProblem, ...] = ()


class Study(Part):
    """A whole study; `read_study` makes one from a file.

    `remarks` is what its author has to say of the results, below the table in Markdown.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    title: str = ""
    baseline: str
    seeds: tuple[int, ...] = Field(min_length=1)
    untuned: bool = True
    memory_megabytes: int = Field(default=4096, ge=1)
    rates: Rates = Rates()
    schedule: Schedule = Schedule()
    probe: Probe = Probe()
    trajectories: Trajectories = Trajectories()
    problems: tuple[ProblemSpec, ...] = Field(min_length=1)
    optimizers: tuple[OptimizerSpec, ...] = Field(min_length=1)
    tiny: Tiny | None = None
    remarks: str = ""

    def problem(self, name: str) -> ProblemSpec:
        """The problem called `name`."""
        return next(problem for problem in self.problems if problem.name == name)

    def optimizer(self, label: str) -> OptimizerSpec:
        """The optimizer called `label`."""
        return next(optimizer for optimizer in self.optimizers if optimizer.label == label)


def read_study(path: Path) -> Study:
    """Reads a study file and checks everything that can be checked without running it.

    Args:
        path: a TOML file.

    Returns:
        The study, defaults filled in.

    Raises:
        StudyError: for a file that cannot be read or is not TOML, an unknown field, a value that
            is not allowed, or an unknown optimizer or problem; the message names the key, the
            value and what is allowed.
    """
    from gradlab.bench.check import check

    try:
        data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise StudyError(f"{path}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: not a TOML file: {error}") from None
    try:
        study = parse_study(data)
        check(study)
    except StudyError as error:
        raise StudyError(f"{path}: {error}") from None
    return study


def parse_study(data: dict[str, Any]) -> Study:
    """Makes a study from the tables of its file.

    Args:
        data: the parsed TOML.

    Returns:
        The study, whose names are not yet looked up.

    Raises:
        StudyError: for an unknown field or a value that is not allowed.
    """
    try:
        return Study.model_validate(data)
    except pydantic.ValidationError as error:
        # One misspelt field is also a missing one, and leaves its table unfit: the first cause.
        first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        raise StudyError(_explain(first)) from None


def _explain(error: Any) -> str:
    location, value = error["loc"], error["input"]
    if error["type"] == "extra_forbidden":
        owner = _key(location[:-1])
        fields = _fields_at(location[:-1])
        return (f"{owner}: " if owner else "") + unknown("field", str(location[-1]), fields)
    if error["type"] == "missing":
        return f"{_key(location)}: missing, and there is no default"
    if error["type"] == "literal_error":
        return f"{_key(location)}: {value!r} is not allowed: it must be {error['ctx']['expected']}"
    return (
        f"{_key(location)}: {value!r} is not allowed: {error['msg'][0].lower()}{error['msg'][1:]}"
    )


def _key(location: tuple[Any, ...]) -> str:
    key = ""
    for part in location:
        key += f"[{part}]" if isinstance(part, int) else f".{part}"
    return key.lstrip(".")


_TABLES: dict[tuple[str, ...], type[Part]] = {
    (): Study,
    ("rates",): Rates,
    ("schedule",): Schedule,
    ("probe",): Probe,
    ("trajectories",): Trajectories,
    ("problems",): ProblemSpec,
    ("optimizers",): OptimizerSpec,
    ("tiny",): Tiny,
    ("tiny", "rates"): Rates,
    ("tiny", "probe"): Probe,
    ("tiny", "trajectories"): Trajectories,
    ("tiny", "problems"): TinyProblem,
}


def _fields_at(location: tuple[Any, ...]) -> tuple[str, ...]:
    names = tuple(part for part in location if isinstance(part, str))
    return tuple(_TABLES[names].model_fields)


def shrink(study: Study) -> Study:
    """Makes the tiny version of a study, as its own `[tiny]` table describes it.

    Args:
        study: the whole study.

    Returns:
        A study with `-tiny` after its name, so that its results can never be taken for the whole
        study's. Its targets remain, and are usually not reached.

    Raises:
        StudyError: where the study has no `[tiny]` table, or the table names what the study lacks.
    """
    tiny = study.tiny
    if tiny is None:
        raise StudyError(f"the study {study.name!r} has no [tiny] table")
    labels = tuple(optimizer.label for optimizer in study.optimizers)
    for index, label in enumerate(tiny.optimizers):
        if label not in labels:
            raise StudyError(f"tiny.optimizers[{index}]: {unknown('label', label, labels)}")
    names = tuple(problem.name for problem in study.problems)
    for index, change in enumerate(tiny.problems):
        if change.name not in names:
            raise StudyError(
                f"tiny.problems[{index}].name: {unknown('problem', change.name, names)}"
            )
    changes = {change.name: change for change in tiny.problems}
    keep = tiny.optimizers or labels
    return study.model_copy(
        update={
            "name": f"{study.name}-tiny",
            "seeds": tiny.seeds,
            "rates": tiny.rates,
            "probe": tiny.probe,
            "trajectories": tiny.trajectories,
            "problems": tuple(_shrink(problem, changes) for problem in study.problems),
            "optimizers": tuple(o for o in study.optimizers if o.label in keep),
            "tiny": None,
        }
    )


def _shrink(problem: ProblemSpec, changes: dict[str, TinyProblem]) -> ProblemSpec:
    change = changes.get(problem.name)
    if change is None:
        return problem
    return problem.model_copy(
        update={
            "horizon": change.horizon,
            "evaluations": change.evaluations,
            "settings": {**problem.settings, **change.settings},
        }
    )
