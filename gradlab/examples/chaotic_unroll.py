"""A training run that is chaotic: plain gradients explode, persistent evolution strategies do not.

`python -m gradlab.examples.chaotic_unroll [--tiny] [--output DIR]` tunes the learning rate of
gradient descent on a bumpy valley, whose best rates lie past the edge of stability: with the
gradient through the whole run, and with persistent evolution strategies.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import typer
from jax import lax

import gradlab as gl
from gradlab.examples._page import Page, Panel, chart, steps

TEXT = (
    "Gradient descent walks down a valley full of bumps; what is tuned is the logarithm of its "
    "learning rate. Small rates stop in the first bump, large ones leap over, chaotically: a small "
    "difference grows from step to step, and so does the gradient through the run, while the loss "
    "stays harmless. The spectrum of the Jacobian says so in advance (arXiv:2111.05803v2). Tuning "
    "begins at a rate that is too large. Persistent evolution strategies (arXiv:2112.13835v1) "
    "follow the smoothed loss."
)
CURVES = (
    "Dotted: the loss, the plain gradient and the exponent of the Jacobian at learning rates that "
    "are not tuned. Then what tuning comes to, step by step."
)
NOTE = (
    "One run with one seed of each. Clipped is the plain gradient with its norm cut at one. The "
    "loss is the mean over a run and over starts; in the table, over the last tenth of tuning. All "
    "in double precision: in single precision the square of such a gradient overflows, and Adam, "
    "like a clipped norm, makes zero of it."
)
WAYS = ("plain gradient", "plain gradient, clipped", "persistent evolution strategies")


@dataclasses.dataclass(frozen=True)
class Valley:
    """Gradient descent on a slope with bumps; theta is the logarithm of the learning rate.

    Attributes:
      steps: of a run, over which the loss is averaged.
    """

    steps: int

    def loss(self, x: Any) -> Any:
        return jnp.sum(jnp.sin(3 * x) / 3 + 0.05 * x**2)

    def init(self, theta: Any, key: Any) -> Any:
        return 6 + jax.random.uniform(key, (4,), minval=-1.0)

    def step(self, theta: Any, x: Any, key: Any) -> tuple[Any, Any]:
        del key
        x = x - jnp.exp(theta) * jax.grad(self.loss)(x)
        return x, self.loss(x) / self.steps

    def run(self, theta: Any, key: Any) -> Any:
        """The loss of a whole run."""
        start = self.init(theta, key)
        return jnp.sum(lax.scan(lambda x, _: self.step(theta, x, None), start, None, self.steps)[1])


@dataclasses.dataclass(frozen=True)
class Tuning:
    """What is done.

    Attributes:
      problem: the inner problem.
      outer_steps: of each way.
      truncation: length of an unroll of persistent evolution strategies.
      starts: how many starts each gradient, and each curve, is a mean of.
      begin: the logarithm of the learning rate at first.
      rate: learning rate of the outer optimizer, Adam.
      grid: logarithms of learning rates that are drawn.
    """

    problem: Valley = Valley(40)
    outer_steps: int = 600
    truncation: int = 8
    starts: int = 32
    begin: float = 0.8
    rate: float = 0.01
    grid: tuple[float, ...] = tuple(np.linspace(-3, 1, 121))


TINY = Tuning(outer_steps=100, starts=16, rate=0.02, grid=tuple(np.linspace(-3, 1, 21)))


# In single precision both ways with the plain gradient would stand still: its square overflows.
double = jax.enable_x64(True)


@double
def landscape(tuning: Tuning) -> dict[str, np.ndarray]:
    """Along the grid: the loss, the plain gradient's size, and the exponent of a run."""
    problem, keys = tuning.problem, jax.random.split(jax.random.key(7), tuning.starts)

    def along(theta: Any) -> Any:
        losses, slopes = jax.vmap(jax.value_and_grad(problem.run), (None, 0))(theta, keys)
        start = problem.init(theta, keys[0])
        spectrum = gl.meta.jacobian_spectrum(
            lambda x: problem.step(theta, x, None)[0], start, problem.steps
        )
        size = jnp.sqrt(jnp.mean(jnp.square(slopes)))
        return losses.mean(), size, spectrum.exponents[0]

    names = ("loss", "size of the plain gradient", "exponent")
    found = jax.jit(jax.vmap(along))(jnp.array(tuning.grid))
    return {name: np.asarray(x) for name, x in zip(names, found, strict=True)}


@double
def tune(tuning: Tuning, way: str) -> dict[str, np.ndarray]:
    """Tunes the learning rate: theta and the size of the gradient at each outer step."""
    problem, key = tuning.problem, jax.random.key(0)
    # As many steps of the valley are taken for each outer step with each way.
    unrolls = problem.steps // tuning.truncation
    pairs = max(1, tuning.starts * unrolls // 2)
    strategy = gl.meta.persistent_evolution_strategies(
        0.1, pairs, steps=problem.steps, truncation=tuning.truncation
    )
    clip = gl.clip_by_global_norm(1.0) if way == WAYS[1] else gl.identity()
    outer = gl.chain(clip, gl.adam(tuning.rate))
    theta = jnp.asarray(tuning.begin, float)

    def gradient(theta: Any, state: Any, key: Any) -> tuple[Any, Any]:
        if way == WAYS[2]:
            found, state = strategy.estimate(problem, theta, state, key)
            return found.gradient, state
        keys = jax.random.split(key, tuning.starts)
        return jnp.mean(jax.vmap(jax.grad(problem.run), (None, 0))(theta, keys)), state

    def step(carry: Any, key: Any) -> Any:
        theta, state, inner = carry
        found, state = gradient(theta, state, key)
        updates, inner = outer.update(found, inner, theta)
        theta = gl.apply_updates(theta, updates)
        return (theta, state, inner), (theta, jnp.abs(found))

    state = strategy.init(problem, theta, key) if way == WAYS[2] else ()
    keys = jax.random.split(key, tuning.outer_steps)
    run = jax.jit(lambda carry: lax.scan(step, carry, keys))
    thetas, sizes = run((theta, state, outer.init(theta)))[1]
    keys = jax.random.split(jax.random.key(7), tuning.starts)
    losses = jax.jit(jax.vmap(jax.vmap(problem.run, (None, 0)), (0, None)))(thetas, keys)
    found = {"theta": thetas, "size": sizes, "loss": losses.mean(1)}
    return {name: np.asarray(x) for name, x in found.items()}


@double
def verdicts(tuning: Tuning, thetas: dict[str, float]) -> dict[str, str]:
    """What the spectrum of the Jacobian says of a run at some learning rates, in words."""
    problem = tuning.problem
    start = problem.init(0.0, jax.random.key(7))
    return {
        name: gl.meta.jacobian_spectrum(
            lambda x, theta=theta: problem.step(theta, x, None)[0], start, problem.steps
        ).verdict
        for name, theta in thetas.items()
    }


HEADER = ("way", "learning rate at the end", "loss at the end", "largest gradient")


def loss_at_the_end(found: dict[str, np.ndarray]) -> float:
    """The mean loss over the last tenth of tuning."""
    return float(found["loss"][-max(1, len(found["loss"]) // 10) :].mean())


def table(runs: dict[str, dict[str, np.ndarray]]) -> list[list[str]]:
    """A row for each way."""
    rows = []
    for way, found in runs.items():
        rate, size = np.exp(found["theta"][-1]), found["size"].max()
        rows.append([way, f"{rate:.3g}", f"{loss_at_the_end(found):.3f}", f"{size:.2g}"])
    return rows


def page(
    tuning: Tuning, drawn: dict[str, np.ndarray], runs: dict[str, dict[str, np.ndarray]]
) -> Page:
    """The page of a study."""
    axis, grid = "logarithm of the learning rate", np.array(tuning.grid)
    panels = [
        Panel(name, axis, {}, log="y" if "size" in name else "", truth=(grid, values))
        for name, values in drawn.items()
    ]
    for field, name in (("loss", "loss while tuning"), ("size", "size of the gradient estimate")):
        lines = {way: steps(found[field]) for way, found in runs.items()}
        panels.append(Panel(name, "outer step", lines, log="y" if field == "size" else ""))
    best = int(np.argmin(drawn["loss"]))
    ends = {"begin": tuning.begin, "end": float(runs[WAYS[2]]["theta"][-1])}
    said = [f"At the {name}: {words}." for name, words in verdicts(tuning, ends).items()]
    lowest = f"{drawn['loss'][best]:.3f}, at a learning rate of {np.exp(grid[best]):.3g}."
    return Page(
        title="A chaotic training run",
        text=TEXT,
        labels=WAYS,
        charts=[(chart("Curves", panels, WAYS), CURVES)],
        rows=table(runs),
        note=" ".join([NOTE, "The lowest loss of the dotted curve is", lowest, *said]),
        header=HEADER,
    )


def main(
    small: Annotated[bool, typer.Option("--tiny", help="A few seconds.")] = False,
    output: Annotated[Path, typer.Option(help="Folder for the page.")] = Path("chaotic_unroll"),
) -> None:
    """Tunes a learning rate past the edge of stability, by gradient and without."""
    tuning = TINY if small else Tuning()
    runs = {way: tune(tuning, way) for way in WAYS}
    made = page(tuning, landscape(tuning), runs)
    made.write(output)
    print(made.note)


if __name__ == "__main__":
    typer.run(main)
