"""A learning rate and a schedule, tuned by the gradient of a validation loss through training.

`python -m gradlab.examples.tune_schedule [--tiny] [--output DIR]` trains a small network on
digits again and again. After each training the validation loss is differentiated through all of
its steps, in the learning rate alone or in the knots of a schedule. Beside it stands a sweep of
learning rates.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import typer

import gradlab as gl
from gradlab import problems
from gradlab.bench import formats
from gradlab.examples._page import Page, Panel, chart, spread
from gradlab.examples._timing import in_turns

TEXT = (
    "How fast should a network learn, and when? The validation loss at the end of training is a "
    "function of the learning rate at every step, and training is differentiable: its gradient "
    "says which knots of the schedule to raise. Each step of tuning is one whole training and "
    "one pass back through it."
)
PAID = (
    "The best validation loss so far at the end of a training, against what had been paid for it "
    "in trainings: a step of tuning, which is a training and the way back through it, took as "
    "long as {cost:.1f} of them here. The sweep tries rates from both ends inwards."
)
RATES = "The learning rate that training ended up with, step by step."
CLOSING = (
    "Rates are chosen by {validation} validation images for one seed, and train on {training}. "
    "The last two rows repeat the training with {seeds} other seeds of initial parameters and "
    "batches: means ± standard errors, of which those on the 360 test images had no part in any "
    "choice. Compiling is left out of times. Lower is better."
)
UNTUNED, SWEEP, RATE, SCHEDULE = "untuned", "sweep", "tuned rate", "tuned schedule"


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is trained, and for how long.

    Attributes:
      steps: of a training.
      tuning: steps of tuning.
      sweep: learning rates that are tried.
      seeds: for the comparison at the end.
      knots: of the schedule, the first one at step 0.
      batch_size: images.
      start: the learning rate before any tuning.
      outer_rate: of the optimizer that tunes.
    """

    steps: int = 150
    tuning: int = 60
    sweep: int = 33
    seeds: int = 16
    knots: int = 5
    batch_size: int = 64
    start: float = 0.003
    outer_rate: float = 0.2


@dataclasses.dataclass(frozen=True)
class Task:
    """Digits in three parts, and their losses."""

    init: Callable[[Any], Any]
    loss: Callable[[Any, Any], Any]
    training: Any
    validation: Any
    held_out: Any


def digits(batch_size: int) -> Task:
    """The digits, a fifth of their training images set aside for validation."""
    problem = problems.digits_mlp(batch_size=batch_size)
    (images, labels), held_out = jax.tree.map(jnp.asarray, problems.digits())
    cut = len(labels) * 4 // 5
    parts = ((images[:cut], labels[:cut]), (images[cut:], labels[cut:]), held_out)
    return Task(problem.init, problem.loss, *parts)


def training(task: Task, setting: Setting, key: Any) -> tuple[Any, Any]:
    """Initial parameters, and the batches of a whole training."""
    images, labels = task.training
    first, rest = jax.random.split(key)
    chosen = jax.random.randint(rest, (setting.steps, setting.batch_size), 0, len(labels))
    return task.init(first), (images[chosen], labels[chosen])


def schedule(setting: Setting, rate: Any) -> Any:
    """A learning rate that is a line between knots, all of them equal at first."""
    places = np.linspace(0, setting.steps, setting.knots)[1:]
    return gl.piecewise_interpolate_schedule("linear", rate, {int(p): 1.0 for p in places})


def tune(
    task: Task, setting: Setting, opt: Any, outer_rate: float, tuned: Any, ranges: Any = None
) -> dict[str, Any]:
    """Trains from the start for each step of tuning.

    Returns:
      The optimizer with the best validation loss, the validation losses, and a step of tuning to
      be timed.
    """
    params, batches = training(task, setting, jax.random.key(0))
    tuner = gl.meta.online_hypergradient(
        opt,
        task.loss,
        task.loss,
        gl.adam(gl.cosine_decay_schedule(outer_rate, setting.tuning, 0.1)),
        tuned=tuned,
        ranges=ranges,
    )
    step = jax.jit(lambda s: tuner.step(tuner.restart(s, params), batches, task.validation))
    state = tuner.init(params)
    step = step.lower(state).compile()
    losses, tried = [], []
    for _ in range(setting.tuning):
        tried.append(state)
        state, report = step(state)
        losses.append(float(report.validation_loss))
    best = tuner.current(tried[int(np.nanargmin(losses))])[0]
    return {
        "opt": gl.check(gl.concrete(best)), "losses": np.array(losses), "run": lambda: step(state),
    }  # fmt: skip


def after_training(task: Task, setting: Setting) -> Callable[[Any, Any], Any]:
    """`(opt, key)` to the loss on validation and test images after a training."""

    def losses(opt: Any, key: Any) -> Any:
        params, batches = training(task, setting, key)
        end = gl.meta.unroll(opt, task.loss, params, batches).params
        return jnp.stack([task.loss(end, task.validation), task.loss(end, task.held_out)])

    return losses


def search(task: Task, setting: Setting) -> dict[str, Any]:
    """Tries learning rates, one after the other."""
    rates = inwards(np.geomspace(1e-4, 1.0, setting.sweep))
    one = jax.jit(after_training(task, setting))
    key = jax.random.key(0)
    one = one.lower(gl.as_arrays(gl.adam(1.0)), key).compile()
    found = [float(one(gl.as_arrays(gl.adam(float(rate))), key)[0]) for rate in rates]
    losses = np.where(np.isfinite(found), found, np.inf)
    best = int(np.argmin(losses))
    return {
        "opt": gl.adam(float(rates[best])), "losses": losses,
        "run": lambda: one(gl.as_arrays(gl.adam(0.01)), key),
    }  # fmt: skip


def inwards(values: np.ndarray) -> np.ndarray:
    """From both ends to the middle."""
    return np.stack([values, values[::-1]], 1).ravel()[: len(values)]


def study(setting: Setting) -> dict[str, Any]:
    """What each way found, and what it comes to with other seeds."""
    task = digits(setting.batch_size)
    found: dict[str, dict[str, Any]] = {
        UNTUNED: {"opt": gl.adam(setting.start), "losses": np.zeros(0)},
        SWEEP: search(task, setting),
        RATE: tune(task, setting, gl.adam(setting.start), setting.outer_rate, "learning_rate"),
        SCHEDULE: tune(
            task,
            setting,
            gl.adam(schedule(setting, setting.start)),
            # Knots are factors of those before them: where all move, the last moves by them all.
            2 * setting.outer_rate / setting.knots,
            ("init_value", "learning_rate.scales[*]"),
            {"init_value": "(0, inf)"},
        ),
    }
    keys = jax.random.split(jax.random.key(1), setting.seeds)
    again = jax.jit(jax.vmap(after_training(task, setting), in_axes=(None, 0)))
    for one in found.values():
        one["again"] = np.asarray(again(one["opt"], keys))
    took = in_turns({label: one["run"] for label, one in found.items() if "run" in one}, 9)
    for label, seconds in took.items():
        found[label]["seconds"] = float(np.median(seconds))
    return found


def page(setting: Setting, found: dict[str, Any]) -> Page:
    """The page of a study."""
    labels, task = list(found), digits(setting.batch_size)
    run = found[SWEEP]["seconds"]
    searched = [label for label in labels if len(found[label]["losses"])]
    paid = {
        label: np.arange(1, len(found[label]["losses"]) + 1) * found[label]["seconds"] / run
        for label in searched
    }
    best = {label: np.fmin.accumulate(found[label]["losses"]) for label in searched}
    steps = list(range(setting.steps))
    rates = {label: [rate_at(found[label]["opt"], t) for t in steps] for label in labels}
    cells: dict[str, list[str]] = {
        "learning rate, first step": [formats.rate(rates[label][0]) for label in labels],
        "learning rate, largest": [formats.rate(max(rates[label])) for label in labels],
        "learning rate, last step": [formats.rate(rates[label][-1]) for label in labels],
        "best validation loss [nats]": [
            formats.number(float(best[label][-1])) if label in best else formats.UNKNOWN
            for label in labels
        ],
        "trainings paid for": [
            formats.number(float(paid[label][-1])) if label in paid else "0" for label in labels
        ],
        "time of all of them": [
            formats.seconds(found[label]["seconds"] * len(found[label]["losses"]))
            if label in paid
            else formats.UNKNOWN
            for label in labels
        ],
    }
    for place, name in enumerate(("validation", "test")):
        cells[f"other seeds, {name} loss [nats]"] = [
            spread(found[label]["again"][:, place]) for label in labels
        ]
    panels = [
        Panel("best validation loss so far [nats]", "trainings paid for",
              {label: (paid[label], best[label]) for label in searched}, log="xy"),
        Panel("learning rate", "step", {label: (steps, rates[label]) for label in labels}, log="y"),
    ]  # fmt: skip
    cost = found[RATE]["seconds"] / run
    sizes = {"validation": len(task.validation[1]), "training": len(task.training[1])}
    return Page(
        title="A tuned learning rate and schedule",
        text=TEXT,
        labels=labels,
        charts=[(chart("Tuning", panels, labels, 340), f"{PAID.format(cost=cost)} {RATES}")],
        rows=[(name, *texts) for name, texts in cells.items()],
        note=CLOSING.format(seeds=setting.seeds, **sizes),
    )


def rate_at(opt: Any, step: int) -> float:
    return float(gl.core.at(opt.learning_rate, step))


def tiny() -> Setting:
    """The same in a few seconds."""
    return Setting(steps=20, tuning=12, sweep=7, seeds=3, knots=3, batch_size=32, outer_rate=0.3)


def main(
    small: Annotated[bool, typer.Option("--tiny", help="A few seconds.")] = False,
    output: Annotated[Path, typer.Option(help="Folder for the page.")] = Path("tune_schedule"),
) -> None:
    """Tunes the learning rate of a network, and its schedule, by gradient."""
    setting = tiny() if small else Setting()
    page(setting, study(setting)).write(output)


if __name__ == "__main__":
    typer.run(main)
