"""The grid of a study: its trials, and the groups of trials that run as one program."""

import dataclasses
import functools
import hashlib
import json
import re
from typing import Any

import jax
import numpy as np

import gradlab as gl
from gradlab import problems
from gradlab.bench.check import problem_settings
from gradlab.bench.configure import configured, default_learning_rate, example, learning_rates
from gradlab.bench.results import UNTUNED
from gradlab.bench.study import OptimizerSpec, ProblemSpec, Study


@dataclasses.dataclass(frozen=True)
class Row:
    """One learning rate of an optimizer; it runs with every seed.

    Args:
        rate_index: position in the sweep, `UNTUNED` for the default configuration.
        learning_rate: peak learning rate.
    """

    rate_index: int
    learning_rate: float

    @property
    def tuned(self) -> bool:
        """Whether the row belongs to the sweep."""
        return self.rate_index != UNTUNED


@dataclasses.dataclass(frozen=True)
class Group:
    """All trials of one optimizer on one problem that run as one program.

    Args:
        problem: the problem.
        optimizer: the optimizer.
        rows: its learning rates.
        seeds: the seeds of every row.
        first_trial: number of the first trial in the study; rows follow each other, seed by seed.
        digest: hash of everything that the group's numbers depend on.
    """

    problem: ProblemSpec
    optimizer: OptimizerSpec
    rows: tuple[Row, ...]
    seeds: tuple[int, ...]
    first_trial: int
    digest: str

    @property
    def name(self) -> str:
        """A name that is safe in a path and unique in a study."""
        label = re.sub(r"[^A-Za-z0-9]+", "-", self.optimizer.label).strip("-")
        return f"{self.problem.name}--{label}--{self.digest[:8]}"

    @property
    def trials(self) -> tuple[tuple[int, Row, int], ...]:
        """The number, row and seed of every trial."""
        lanes = [(row, seed) for row in self.rows for seed in self.seeds]
        return tuple((self.first_trial + i, row, seed) for i, (row, seed) in enumerate(lanes))


@dataclasses.dataclass(frozen=True)
class GroupRecord:
    """What is stored of a group, enough to read its results without the study or the catalogue.

    Args:
        name: the group's name, of its folder too.
        digest: its hash.
        problem: name of the problem.
        optimizer: label of the optimizer.
        trials: number, rate index, learning rate and seed of every trial.
    """

    name: str
    digest: str
    problem: str
    optimizer: str
    trials: tuple[tuple[int, int, float, int], ...]


def record(group: Group) -> GroupRecord:
    """Returns what is stored of a group."""
    trials = tuple(
        (number, row.rate_index, row.learning_rate, seed) for number, row, seed in group.trials
    )
    labels = group.problem.name, group.optimizer.label
    return GroupRecord(group.name, group.digest, *labels, trials)


def optimizers(study: Study, group: Group) -> gl.Transform:
    """Returns the optimizers of a group's rows as one stacked optimizer."""
    spec, horizon = group.optimizer, group.problem.horizon
    rows = [configured(spec, row.learning_rate, study.schedule, horizon) for row in group.rows]
    return gl.stack(rows)


@functools.lru_cache(maxsize=8)
def _made(name: str, settings: str) -> problems.Problem:
    return problems.get(name, **json.loads(settings))


def made(spec: ProblemSpec) -> problems.Problem:
    """Returns the problem of a specification; the same one for the same specification."""
    return _made(spec.name, json.dumps(spec.settings, sort_keys=True))


def groups(study: Study) -> tuple[Group, ...]:
    """Lists the groups of a study.

    Args:
        study: the study.

    Returns:
        For every problem and optimizer one group or, where the memory would not suffice for all
        learning rates at once, several. The order and every number follow from the study alone, so
        that two processes agree on them.
    """
    found: list[Group] = []
    first = 0
    for problem in study.problems:
        for optimizer in study.optimizers:
            rows = _rows(study, optimizer)
            at_once = rows_that_fit(study, problem, optimizer)
            for start in range(0, len(rows), at_once):
                part = rows[start : start + at_once]
                digest = _digest(study, problem, optimizer, part)
                found.append(Group(problem, optimizer, part, study.seeds, first, digest))
                first += len(part) * len(study.seeds)
    return tuple(found)


def _rows(study: Study, optimizer: OptimizerSpec) -> tuple[Row, ...]:
    rates = learning_rates(optimizer, study.rates)
    rows = [Row(index, rate) for index, rate in enumerate(rates)]
    if study.untuned:
        rows.append(Row(UNTUNED, default_learning_rate(optimizer)))
    return tuple(rows)


def _digest(study: Study, problem: ProblemSpec, optimizer: OptimizerSpec, rows: Any) -> str:
    parts = {
        "problem": [problem.name, problem_settings(problem), problem.horizon, problem.evaluations],
        "optimizer": [optimizer.label, repr(example(optimizer))],
        "schedule": study.schedule.model_dump(),
        "rows": [[row.rate_index, row.learning_rate] for row in rows],
        "seeds": list(study.seeds),
    }
    return digest_of(parts)


def digest_of(data: Any) -> str:
    """Returns the SHA-256 of plain data in canonical form."""
    canonical = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def resolved(study: Study) -> dict[str, Any]:
    """Spells out a study.

    Args:
        study: the study.

    Returns:
        Plain data with everything that its results depend on: also what the study left to the
        catalogue and to the problems, so that a changed default is a changed study.
    """
    data = study.model_dump(mode="json", exclude={"tiny"})
    for table, optimizer in zip(data["optimizers"], study.optimizers, strict=True):
        table["configuration"] = repr(example(optimizer))
        table["learning_rates"] = list(learning_rates(optimizer, study.rates))
        table["untuned_learning_rate"] = default_learning_rate(optimizer)
    for table, problem in zip(data["problems"], study.problems, strict=True):
        table["settings"] = problem_settings(problem)
    return data


def rows_that_fit(study: Study, problem: ProblemSpec, optimizer: OptimizerSpec) -> int:
    """Returns how many learning rates, with all seeds, fit into the study's memory, at least 1."""
    lane = lane_bytes(made(problem), example(optimizer))
    return max(1, study.memory_megabytes * 2**20 // (lane * len(study.seeds)))


def lane_bytes(problem: problems.Problem, opt: gl.Transform) -> int:
    """Bounds the memory of one trial.

    Args:
        problem: the problem.
        opt: the optimizer.

    Returns:
        Parameters, gradients, updates, twice the state (the old one and the new one), and every
        intermediate array of the loss and its gradient as if none was ever freed [bytes].
    """
    params = jax.eval_shape(problem.init, jax.random.PRNGKey(0))
    state = jax.eval_shape(opt.init, params)
    return 3 * tree_bytes(params) + 2 * tree_bytes(state) + _activation_bytes(problem)


@functools.cache
def _activation_bytes(problem: problems.Problem) -> int:
    def step(key):
        params = problem.init(key)
        return jax.value_and_grad(problem.loss)(params, problem.sample(key))

    return _made_bytes(jax.make_jaxpr(step)(jax.random.PRNGKey(0)).jaxpr)


def _made_bytes(jaxpr: Any) -> int:
    total = 0
    for equation in jaxpr.eqns:
        inner = [part for value in equation.params.values() for part in _jaxprs(value)]
        if inner:
            total += sum(_made_bytes(part) for part in inner)
        else:
            total += sum(array_bytes(out.aval) for out in equation.outvars)
    return total


def _jaxprs(value: Any) -> list[Any]:
    found = []
    for part in value if isinstance(value, tuple | list) else (value,):
        part = getattr(part, "jaxpr", part)
        if hasattr(part, "eqns"):
            found.append(part)
    return found


def tree_bytes(tree: Any) -> int:
    """Returns the size of all arrays, or shapes of arrays, in a tree [bytes]."""
    return sum(array_bytes(leaf) for leaf in jax.tree.leaves(tree))


def array_bytes(array: Any) -> int:
    """Returns the size of an array or of the shape of one [bytes]."""
    dtype = getattr(array, "dtype", None)
    if dtype is None or not hasattr(dtype, "itemsize"):
        return 0
    return int(np.prod(array.shape)) * dtype.itemsize
