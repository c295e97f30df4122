"""MAML on sinusoids: initial parameters from which a few steps fit a new task.

`python -m gradlab.examples.maml_sinusoids [--tiny] [--output DIR]` meta-trains a small network
through its own training on ten points of a sinusoid: in the initial parameters, and in the
learning rate of every layer, too. Beside it stand a network trained on all sinusoids at once, and
a fresh one, each with the learning rate that suits it best.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import typer

import gradlab as gl
from gradlab.bench import formats
from gradlab.examples import _networks
from gradlab.examples._page import Page, Panel, chart, spread
from gradlab.examples._timing import in_turns

TEXT = (
    "Each task is one sinusoid, seen at ten points. MAML (Finn et al., arXiv:1703.03400) looks "
    "for initial parameters from which few steps of gradient descent fit any of them, by the "
    "gradient of the loss after those steps. The optimizer of these steps is data, so that its "
    "learning rates, one for each layer, can be learned in the same way. All sinusoids together "
    "average to nearly nothing: training on all of them at once teaches little."
)
CURVES = (
    "Mean squared error on other points of a new task after each step on its ten points: the mean "
    "of {tasks} tasks; then one of these tasks after {shown} steps, dotted its truth; then the "
    "error after {inner} steps while meta-training, a running median."
)
CLOSING = (
    "Errors are means over {tasks} new tasks ± standard errors, with one seed of training. Every "
    "way but the one that learns its rates fits new tasks with the best of {rates} learning "
    "rates, by the error after {shown} steps on other {tasks} tasks; one at the edge of the sweep "
    "says so. Meta-training and joint training took {steps} steps of {batch} tasks each with the "
    "same optimizer; times of a step are medians, made in turns, compiling left out."
)
SCRATCH, JOINT, MAML, RATES = "scratch", "joint training", "maml", "maml, learned rates"
SWEEP = np.geomspace(1e-5, 0.1, 17)
LINE = np.linspace(-5, 5, 101)
PARTS = 30
"""Meta-training is so many runs of one program, which is what is timed."""

LAYERS = ("first", "second", "last")


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is trained, and for how long.

    Attributes:
      steps: of meta-training, a multiple of `PARTS`.
      inner: steps on a task while meta-training.
      shown: steps on a new task afterwards.
      points: of a task that are seen, and others that judge.
      tasks: in a step of meta-training.
      new_tasks: to choose rates by, and as many others to judge by.
      width: units of each of the two hidden layers.
      inner_rate: learning rate on a task while meta-training.
    """

    steps: int = 3000
    inner: int = 3
    shown: int = 10
    points: int = 10
    tasks: int = 16
    new_tasks: int = 200
    width: int = 40
    inner_rate: float = 0.01


def network(width: int) -> tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]:
    """The initial parameters by key, and the outputs for a vector of inputs."""
    sizes: dict[str, tuple[int, int]] = dict(
        zip(LAYERS, pairwise((1, width, width, 1)), strict=True)
    )

    def outputs(params: Any, x: Any) -> Any:
        return _networks.outputs([params[name] for name in LAYERS], x[:, None])[:, 0]

    return lambda key: _networks.initial(key, sizes), outputs


def waves(key: Any, count: int) -> tuple[Any, Any]:
    """Amplitudes and phases of several tasks."""
    amplitude, phase = jax.random.split(key)
    amplitude = jax.random.uniform(amplitude, (count, 1), minval=0.1, maxval=5.0)
    return amplitude, jax.random.uniform(phase, (count, 1), maxval=jnp.pi)


def sinusoids(key: Any, count: int, points: int) -> tuple[Any, Any]:
    """Seen and other points of several tasks, each `(x, y)` of shape `[count, points]`."""
    which, x = jax.random.split(key)
    amplitude, phase = waves(which, count)
    x = jax.random.uniform(x, (count, 2 * points), minval=-5.0, maxval=5.0)
    y = amplitude * jnp.sin(x - phase)
    return (x[:, :points], y[:, :points]), (x[:, points:], y[:, points:])


def descent(rates: Any) -> Any:
    """Gradient descent with a learning rate for each layer."""
    return gl.partition({name: gl.sgd(rates[name]) for name in LAYERS}, {x: x for x in LAYERS})


def study(setting: Setting) -> dict[str, dict[str, Any]]:
    """What each way comes to on new tasks."""
    init, outputs = network(setting.width)
    start = init(jax.random.key(0))
    even = {name: jnp.log(setting.inner_rate) for name in LAYERS}

    def loss(params: Any, points: Any) -> Any:
        return jnp.mean((outputs(params, points[0]) - points[1]) ** 2)

    def after(params: Any, rates: Any, seen: Any, steps: int) -> Any:
        run = gl.meta.unroll(descent(rates), lambda p, _: loss(p, seen), params, steps=steps)
        return run.params

    def joint(outer: Any, tasks: Any) -> Any:
        return sum(
            jnp.mean(jax.vmap(lambda points: loss(outer["params"], points))(part)) / 2
            for part in tasks
        )

    def meta(learned: bool) -> Callable[[Any, Any], Any]:
        def objective(outer: Any, tasks: Any) -> Any:
            rates = jax.tree.map(jnp.exp, outer["log_rates"] if learned else even)

            def one(seen: Any, others: Any) -> Any:
                return loss(after(outer["params"], rates, seen, setting.inner), others)

            return jnp.mean(jax.vmap(one)(*tasks))

        return objective

    # The same for all ways.
    rates = {"params": 2e-3, "log_rates": 1e-2}
    adams = {part: gl.adam(gl.cosine_decay_schedule(x, setting.steps)) for part, x in rates.items()}
    groups = gl.partition(adams, {part: part for part in adams})
    # A task on which the inner steps diverge teaches nothing.
    opt = gl.apply_if_finite(gl.chain(gl.clip_by_global_norm(10.0), groups), 100)

    def train(objective: Callable[[Any, Any], Any]) -> tuple[Any, Any, Any, Any]:
        def step(carry: Any, key: Any) -> Any:
            outer, state = carry
            tasks = sinusoids(key, setting.tasks, setting.points)
            value, gradient = jax.value_and_grad(objective)(outer, tasks)
            updates, state = opt.update(gradient, state, outer)
            return (gl.apply_updates(outer, updates), state), value

        outer = {"params": start, "log_rates": even}
        begin = carry = (outer, opt.init(outer))
        several = jax.jit(lambda carry, keys: jax.lax.scan(step, carry, keys))
        parts = jax.random.split(jax.random.key(1), (PARTS, setting.steps // PARTS))
        values = []
        for keys in parts:
            carry, seen = several(carry, keys)
            values.append(seen)
        (outer, _), values = carry, np.concatenate(values)
        return outer["params"], outer["log_rates"], values, lambda: several(begin, parts[0])

    choosing, judging = (
        sinusoids(jax.random.key(seed), setting.new_tasks, setting.points) for seed in (2, 3)
    )

    @jax.jit
    def errors(params: Any, rates: Any, tasks: Any) -> Any:
        """Of each task after 0, 1, … steps."""

        def one(seen: Any, others: Any) -> Any:
            def step(p: Any, _: Any) -> Any:
                return after(p, rates, seen, 1), loss(p, others)

            end, values = jax.lax.scan(step, params, length=setting.shown)
            return jnp.append(values, loss(end, others))

        return jax.vmap(one)(*tasks)

    @jax.jit
    def curve(params: Any, rates: Any) -> Any:
        """The outputs after all steps on one of the tasks."""
        seen = jax.tree.map(lambda x: x[0], judging[0])
        return outputs(after(params, rates, seen, setting.shown), jnp.asarray(LINE))

    trained = {
        SCRATCH: (start, None, None, None),
        JOINT: train(joint),
        MAML: train(meta(learned=False)),
        RATES: train(meta(learned=True)),
    }
    found: dict[str, dict[str, Any]] = {}
    calls = {}

    def end(params: Any, rate: float) -> float:
        """The error at the end, with one learning rate, of the tasks to choose by."""
        rates = dict.fromkeys(LAYERS, jnp.float32(rate))
        return float(jnp.mean(errors(params, rates, choosing)[:, -1]))

    for label, (params, logs, values, call) in trained.items():
        if label == RATES:
            rates: Any = jax.tree.map(jnp.exp, logs)
            edge = False
        else:
            best = int(np.nanargmin([end(params, rate) for rate in SWEEP]))
            rates = dict.fromkeys(LAYERS, jnp.float32(SWEEP[best]))
            edge = best in (0, len(SWEEP) - 1)
        found[label] = {
            "errors": np.asarray(errors(params, rates, judging)),
            "rates": {name: float(rate) for name, rate in rates.items()},
            "edge": edge,
            "values": None if values is None else np.asarray(values),
            "curve": np.asarray(curve(params, rates)),
        }
        if call is not None:
            calls[label] = call
    for label, seconds in in_turns(calls, 9, warm_up=1).items():
        found[label]["seconds"] = float(np.median(seconds)) / (setting.steps // PARTS)
    return found


def page(setting: Setting, found: dict[str, dict[str, Any]]) -> Page:
    """The page of a study."""
    labels, steps = list(found), np.arange(setting.shown + 1)
    amplitude, phase = waves(jax.random.split(jax.random.key(3))[0], setting.new_tasks)
    length = max(1, setting.steps // 50)

    def running(values: np.ndarray) -> tuple[Any, Any]:
        middle = np.median(np.lib.stride_tricks.sliding_window_view(values, length), axis=1)
        return range(length, length + len(middle)), middle

    panels = [
        Panel("error on a new task", "step on the task",
              {label: (steps, one["errors"].mean(0)) for label, one in found.items()},
              log="y", dots=True),
        Panel(f"one task after {setting.shown} steps", "input",
              {label: (LINE, one["curve"]) for label, one in found.items()},
              truth=(LINE, np.asarray(amplitude[0] * jnp.sin(LINE - phase[0])))),
        Panel("error while training", "step",
              {x: running(found[x]["values"]) for x in (JOINT, MAML, RATES)}, log="y"),
    ]  # fmt: skip

    def each(name: str, text: Callable[[Any], str]) -> list[str]:
        return [text(one[name]) if name in one else formats.UNKNOWN for one in found.values()]

    rows = {
        "error before a step": each("errors", lambda x: spread(x[:, 0])),
        "error after one step": each("errors", lambda x: spread(x[:, 1])),
        f"error after {setting.shown} steps": each("errors", lambda x: spread(x[:, -1])),
        "learning rates of the layers": [
            ", ".join(dict.fromkeys(map(formats.rate, one["rates"].values())))
            + (" (edge of the sweep)" if one["edge"] else "")
            for one in found.values()
        ],
        "time of a step of training": each("seconds", formats.seconds),
        "÷ joint training": each("seconds", lambda x: formats.number(x / found[JOINT]["seconds"])),
    }
    sizes = {"tasks": setting.new_tasks, "shown": setting.shown, "inner": setting.inner}
    return Page(
        title="MAML on sinusoids",
        text=TEXT,
        labels=labels,
        charts=[(chart("New tasks", panels, labels, 340), CURVES.format(**sizes))],
        rows=[(name, *cells) for name, cells in rows.items()],
        note=CLOSING.format(**sizes, rates=len(SWEEP), steps=setting.steps, batch=setting.tasks),
    )


def tiny() -> Setting:
    """The same in a few seconds."""
    return Setting(steps=2100, inner=1, new_tasks=40)


def main(
    small: Annotated[bool, typer.Option("--tiny", help="A few seconds.")] = False,
    output: Annotated[Path, typer.Option(help="Folder for the page.")] = Path("maml_sinusoids"),
) -> None:
    """Meta-trains a network on sinusoids, and its learning rates."""
    setting = tiny() if small else Setting()
    page(setting, study(setting)).write(output)


if __name__ == "__main__":
    typer.run(main)
