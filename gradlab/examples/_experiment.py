"""What the examples share: a run that watches conflicts, its timing, its table and its page."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import plotly.graph_objects as go
from jax import lax

import gradlab as gl
from gradlab.aggregators import value_and_jacobian
from gradlab.bench import formats
from gradlab.examples._page import Page, Panel, chart, running_mean
from gradlab.examples._timing import in_turns

TOLERANCE = 1e-3
"""A cosine below minus this is a conflict; programs in single precision are solved to 1e-4."""

BETWEEN, WITH_UPDATE, HARMED = (
    "smallest cosine between two gradients",
    "smallest cosine of update and gradient",
    "share of objectives harmed",
)
TIME, RATIO = "time of a step", "÷ plain"

NOTE = """Running means over {} steps. A cosine is of two gradients over all parameters, or of a
gradient and the direction of descent: below zero one objective gains what another loses. Harmed
are those objectives whose cosine with the direction is below −{}."""

CLOSING = """One run with one seed and one learning rate: it shows what the methods do, not which
is better. Losses and conflicts are means of the last {} steps, times medians of single steps
that were made in turns, compiling left out."""


@dataclasses.dataclass(frozen=True)
class Way:
    """One way to make a gradient from several losses.

    Attributes:
      label: what tables call it.
      start: params -> its state.
      gradient: (params, state, batch) -> gradient, state.
    """

    label: str
    start: Callable[[Any], Any]
    gradient: Callable[[Any, Any, Any], tuple[Any, Any]]


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A training that is done in several ways, the plain one first.

    Attributes:
      title: of the page.
      text: what a reader should know.
      init: key -> params.
      sample: key -> batch.
      losses: (params, batch) -> an array of losses, each of which is an objective.
      shown: (losses, batch) -> the losses that are drawn, by name.
      measures: what is said of the trained params, by name.
      ways: the ways, all with the same batches and the same optimizer.
      opt: steps along the gradients.
      steps: how many.
      objectives: their names, where there are few enough to look at each.
    """

    title: str
    text: str
    init: Callable[[Any], Any]
    sample: Callable[[Any], Any]
    losses: Callable[[Any, Any], Any]
    shown: Callable[[Any, Any], Mapping[str, Any]]
    measures: Mapping[str, Callable[[Any], Any]]
    ways: tuple[Way, ...]
    opt: Any
    steps: int
    objectives: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one way did.

    Attributes:
      params: the trained parameters.
      series: a number for each step, by name.
      row: the numbers of the table, by column.
    """

    params: Any
    series: Mapping[str, np.ndarray]
    row: dict[str, float]


def aggregated(label: str, aggregator: Any, losses: Callable[[Any, Any], Any]) -> Way:
    """The way that stacks the gradients of all losses and combines them."""

    def gradient(params: Any, state: Any, batch: Any) -> tuple[Any, Any]:
        _, stack = value_and_jacobian(losses, params, batch)
        return aggregator.update(stack, state, params)

    return Way(label, aggregator.init, gradient)


def plain(label: str, loss: Callable[[Any, Any], Any]) -> Way:
    """The way that differentiates one sum of the losses."""
    return Way(label, lambda params: (), lambda p, state, batch: (jax.grad(loss)(p, batch), state))


def conflicts(stack: Any, update: Any, objectives: tuple[str, ...] = ()) -> dict[str, jax.Array]:
    """How gradients of several objectives, and a descent along `update`, get on.

    Args:
      stack: a tree of gradients with a leading axis of objectives.
      update: a tree without that axis; the step goes against it.
      objectives: names of the objectives; without them only the worst is told of.

    Returns:
      Numbers by name; all are cosines, but the share of objectives that the step harms.
    """

    def unit(x: jax.Array) -> jax.Array:
        return gl.core.divide(x, jnp.linalg.norm(x, axis=-1, keepdims=True))

    rows = unit(jnp.concatenate([x.reshape(len(x), -1) for x in jax.tree.leaves(stack)], axis=1))
    step = unit(jnp.concatenate([x.ravel() for x in jax.tree.leaves(update)]))
    pairs = jnp.where(jnp.eye(len(rows), dtype=bool), 1.0, rows @ rows.T)
    along = rows @ step
    told = {BETWEEN: jnp.min(pairs), HARMED: jnp.mean(along < -TOLERANCE)}
    if not objectives:
        return told | {WITH_UPDATE: jnp.min(along)}
    return told | {_cosine(name): x for name, x in zip(objectives, along, strict=True)}


def _cosine(name: str) -> str:
    return f"cosine of update and gradient, {name}"


def step_of(experiment: Experiment, way: Way, watched: bool) -> Callable[[Any, Any], Any]:
    """A step on the batch of a key; with `watched` it also tells losses and conflicts."""

    def step(carry: Any, key: Any) -> Any:
        params, state, inner = carry
        batch = experiment.sample(key)
        gradient, state = way.gradient(params, state, batch)
        seen = {}
        if watched:
            values, stack = value_and_jacobian(experiment.losses, params, batch)
            seen = dict(experiment.shown(values, batch))
            seen |= conflicts(stack, gradient, experiment.objectives)
        updates, inner = experiment.opt.update(gradient, inner, params)
        return (gl.apply_updates(params, updates), state, inner), seen

    return step


def start_of(experiment: Experiment, way: Way, key: Any) -> Any:
    params = experiment.init(key)
    return params, way.start(params), experiment.opt.init(params)


def run(experiment: Experiment, seed: int = 0) -> dict[str, Outcome]:
    """Trains in all ways, from the same start and with the same batches."""
    first, rest = jax.random.split(jax.random.key(seed))
    keys, found = jax.random.split(rest, experiment.steps), {}
    for way in experiment.ways:
        step = step_of(experiment, way, watched=True)
        start = start_of(experiment, way, first)
        (params, *_), seen = jax.jit(lax.scan, static_argnums=0)(step, start, keys)
        names = sorted(seen, key=lambda name: ("cosine" in name or name == HARMED, name))
        series = {name: np.asarray(seen[name], np.float64) for name in names}
        row = {name: float(values[-window(experiment) :].mean()) for name, values in series.items()}
        row |= {name: float(measure(params)) for name, measure in experiment.measures.items()}
        row["steps with a conflict"] = float(np.mean(series[BETWEEN] < -TOLERANCE))
        row["steps that harm one"] = float(np.mean(series[HARMED] > 0))
        for name in experiment.objectives:
            row[f"steps that harm {name}"] = float(np.mean(series[_cosine(name)] < -TOLERANCE))
        found[way.label] = Outcome(params, series, row)
    return found


def window(experiment: Experiment) -> int:
    """The steps over which noise of batches is averaged."""
    return max(1, experiment.steps // 20)


def time_steps(experiment: Experiment, rounds: int, warm_up: int = 3) -> dict[str, np.ndarray]:
    """Seconds of a step of each way, unwatched and warm, in turns; each begins a round in turn."""
    key, calls = jax.random.key(0), {}
    for way in experiment.ways:
        carry = start_of(experiment, way, key)
        program = jax.jit(step_of(experiment, way, False)).lower(carry, key).compile()
        calls[way.label] = lambda program=program, carry=carry: program(carry, key)
    return in_turns(calls, rounds, warm_up)


def present(experiment: Experiment, output: Path, tiny: bool) -> Path:
    """Runs an experiment, prints its table and writes its page.

    Returns:
      The path of the page, `index.html` in `output`.
    """
    outcomes = run(experiment)
    took = time_steps(experiment, rounds=5 if tiny else 31)
    base = took[experiment.ways[0].label]
    for label, durations in took.items():
        outcomes[label].row[TIME] = float(np.median(durations))
        outcomes[label].row[RATIO] = float(np.median(durations / base))
    names = next(iter(outcomes.values())).row
    rows = [(name, *(_cell(name, o.row[name]) for o in outcomes.values())) for name in names]
    length = window(experiment)
    return Page(
        experiment.title,
        experiment.text,
        list(outcomes),
        [(running_means(experiment, outcomes), NOTE.format(length, TOLERANCE))],
        rows,
        CLOSING.format(length),
    ).write(output)


def _cell(name: str, value: float) -> str:
    return formats.seconds(value) if name == TIME else formats.number(value)


def running_means(experiment: Experiment, outcomes: Mapping[str, Outcome]) -> go.Figure:
    """A panel for each series, in which every way is a line."""
    length = window(experiment)

    panels = [
        Panel(
            name,
            "step",
            {label: running_mean(o.series[name], length) for label, o in outcomes.items()},
        )
        for name in next(iter(outcomes.values())).series
    ]
    return chart("Losses and conflicts", panels, list(outcomes))
