"""Learned optimizers, meta-trained with persistent evolution strategies on small tasks.

`python -m gradlab.examples.meta_train [--tiny] [--rule RULE] [--output DIR]` trains the weights
of a learned optimizer on noisy quadratics and on small networks for digits, saves them, and
compares it on tasks that it has not seen with Adam, whose learning rate is tuned on each.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import typer
from jax import lax

import gradlab as gl
from gradlab import problems
from gradlab.bench.intervals import mean_interval
from gradlab.examples import _networks
from gradlab.examples._page import Page, Panel, chart, running_mean, steps

ADAM = "adam, tuned"
WORST = 3.0
"""Outer losses are cut here, in units of the loss at the start: diverged is diverged."""

RULES: dict[str, tuple[Callable[..., Any], Callable[[Any], Any]]] = {
    "learned_mlp": (gl.meta.learned_mlp, gl.meta.mlp_weights),
    "learned_rnn": (gl.meta.learned_rnn, gl.meta.rnn_weights),
}


class TaskState(NamedTuple):
    """A task, and how far its training has come."""

    task: Any
    params: Any
    state: Any


@dataclasses.dataclass(frozen=True)
class Family:
    """Tasks that are drawn at random: an inner problem of which each run is another.

    Attributes:
      sample: key -> a task and its initial parameters.
      loss: (params, task, key) -> the loss of a batch, about 1 at the start.
      optimizer: theta -> the optimizer.
    """

    sample: Callable[[Any], tuple[Any, Any]]
    loss: Callable[[Any, Any, Any], Any]
    optimizer: Callable[[Any], Any] = lambda theta: theta

    def init(self, theta: Any, key: Any) -> TaskState:
        task, params = self.sample(key)
        return TaskState(task, params, self.optimizer(theta).init(params))

    def step(self, theta: Any, state: Any, key: Any) -> tuple[TaskState, Any]:
        loss, gradient = jax.value_and_grad(self.loss)(state.params, state.task, key)
        updates, inner = self.optimizer(theta).update(gradient, state.state, state.params)
        params = gl.apply_updates(state.params, updates)
        shown = jnp.where(jnp.isfinite(loss), jnp.minimum(loss, WORST), WORST)
        return TaskState(state.task, params, inner), shown

    def with_optimizer(self, optimizer: Callable[[Any], Any]) -> Family:
        return dataclasses.replace(self, optimizer=optimizer)


def quadratics(size: int, noise: float = 0.05) -> Family:
    """Bowls with curvatures between 0.01 and 1 along random axes, and noisy gradients."""

    def sample(key: Any) -> tuple[Any, Any]:
        spectrum, axes, start = jax.random.split(key, 3)
        curvature = 10 ** jax.random.uniform(spectrum, (size,), minval=-2.0, maxval=0.0)
        turn = jnp.linalg.qr(jax.random.normal(axes, (size, size)))[0]
        matrix, x = turn * curvature @ turn.T, jax.random.normal(start, (size,))
        return (matrix, x @ matrix @ x), x

    def loss(x: Any, task: Any, key: Any) -> Any:
        matrix, scale = task
        jitter = noise * jax.random.normal(key, x.shape) * scale / size
        # The noise has no part in the value, only in the gradient.
        return x @ matrix @ x / scale + (x - lax.stop_gradient(x)) @ jitter

    return Family(sample, loss)


def digits(*hidden: int, pooled: bool, batch: int = 32, gain: float = 2.0) -> Family:
    """Networks for digits, of a random scale at the start.

    Args:
      *hidden: units of each hidden layer.
      pooled: whether images are of 4 × 4 pixels instead of 8 × 8.
      batch: images in a batch.
      gain: largest factor by which the initial weights are too large or too small.
    """
    (images, labels), _ = problems.digits()
    if pooled:
        images = images.reshape(-1, 4, 2, 4, 2).mean((2, 4)).reshape(-1, 16)
    images, labels = jnp.asarray(images), jnp.asarray(labels)
    sizes = (images.shape[1], *hidden, 10)

    def sample(key: Any) -> tuple[Any, Any]:
        scale, *keys = jax.random.split(key, len(sizes))
        log = jax.random.uniform(scale, minval=-1.0, maxval=1.0)
        params = [
            {
                "weights": gain**log * jax.random.normal(k, (m, n)) / math.sqrt(m),
                "bias": jnp.zeros(n),
            }
            for k, m, n in zip(keys, sizes, sizes[1:], strict=False)
        ]
        return (), params

    def loss(params: Any, task: Any, key: Any) -> Any:
        chosen = jax.random.randint(key, (batch,), 0, len(labels))
        logits = _networks.outputs(params, images[chosen])
        right = jax.nn.one_hot(labels[chosen], 10)
        return -jnp.mean(jnp.sum(right * jax.nn.log_softmax(logits), -1)) / math.log(10)

    return Family(sample, loss)


@dataclasses.dataclass(frozen=True)
class Plan:
    """How a learned optimizer is trained and compared.

    Attributes:
      outer_steps: steps of the outer optimizer.
      steps, truncation: of an inner problem, and of one unroll.
      pairs: antithetic pairs for each family.
      std: of the perturbations of weights.
      learning_rate: of the outer optimizer, Adam, at its peak.
      seeds: runs of each comparison.
      rates: the learning rates among which Adam's is tuned.
    """

    outer_steps: int = 3000
    steps: int = 200
    truncation: int = 20
    pairs: int = 8
    std: float = 0.02
    learning_rate: float = 1e-2
    seeds: int = 5
    rates: tuple[float, ...] = tuple(10.0**e for e in np.arange(-4, 0.1, 0.5))


TINY = Plan(outer_steps=40, steps=20, truncation=10, pairs=4, std=0.05, learning_rate=3e-2,
            seeds=3, rates=(0.01, 0.1))  # fmt: skip


def training_families() -> tuple[Family, ...]:
    """What the weights are trained on."""
    return quadratics(16), digits(16, pooled=True), digits(16, 16, pooled=True)


def held_out(plan: Plan) -> dict[str, tuple[Family, int]]:
    """What the result is compared on, with the steps of a run."""
    n = plan.steps
    return {
        "quadratics of 16, as trained on": (quadratics(16), n),
        "digits 16-16-10, as trained on": (digits(16, pooled=True), n),
        "digits 16-16-16-10, as trained on": (digits(16, 16, pooled=True), n),
        "quadratics of 64": (quadratics(64), n),
        "digits 64-10, no hidden layer": (digits(pooled=False), n),
        "digits 64-32-10": (digits(32, pooled=False), n),
        "digits 64-32-32-10": (digits(32, 32, pooled=False), n),
        "digits 64-32-10, four times as long": (digits(32, pooled=False), 4 * n),
    }


def meta_train(
    rule: str, plan: Plan, seed: int = 0, weights: Any = None, told: Callable[..., Any] = print
) -> tuple[Any, np.ndarray]:
    """Trains the weights of a learned optimizer.

    Args:
      rule: a name of `RULES`.
      plan: how.
      seed: of everything random.
      weights: those to start from. None: fresh ones.
      told: what is called with a line now and then.

    Returns:
      The weights, and the outer loss of each step: the mean over an unroll and over families.
    """
    make, fresh = RULES[rule]
    first, rest = jax.random.split(jax.random.key(seed))
    weights = fresh(first) if weights is None else weights
    families = [f.with_optimizer(lambda w: make(weights=w)) for f in training_families()]
    strategy = gl.meta.persistent_evolution_strategies(
        plan.std, plan.pairs, steps=plan.steps, truncation=plan.truncation
    )
    rate = gl.warmup_cosine_decay_schedule(
        0.0, plan.learning_rate, max(1, plan.outer_steps // 50), plan.outer_steps
    )
    outer = gl.chain(gl.clip_by_global_norm(1.0), gl.adam(rate))

    def step(carry: Any, key: Any) -> Any:
        weights, states, outer_state = carry
        total: Any = None
        after, losses = [], []
        keys = jax.random.split(key, len(families))
        for family, state, k in zip(families, states, keys, strict=True):
            found, state = strategy.estimate(family, weights, state, k)
            # One family must not drown the other, nor one bad draw all good ones.
            gradient, _ = gl.clip_by_global_norm(10.0).update(found.gradient, gl.EmptyState())
            total = gradient if total is None else jax.tree.map(jnp.add, total, gradient)
            after.append(state)
            losses.append(found.loss / plan.truncation)
        updates, outer_state = outer.update(total, outer_state, weights)
        weights = gl.apply_updates(weights, updates)
        return (weights, after, outer_state), jnp.stack(losses)

    keys = jax.random.split(rest, plan.outer_steps + len(families))
    states = [strategy.init(f, weights, k) for f, k in zip(families, keys, strict=False)]
    carry, losses = (weights, states, outer.init(weights)), []
    chunk = jax.jit(lambda carry, keys: lax.scan(step, carry, keys))
    width, begin = max(1, plan.outer_steps // 20), time.perf_counter()
    for at in range(0, plan.outer_steps, width):
        carry, seen = chunk(carry, keys[len(families) :][at : at + width])
        losses.append(np.asarray(seen))
        took, done = time.perf_counter() - begin, min(at + width, plan.outer_steps)
        told(f"outer step {done}: loss {losses[-1].mean(0).round(4)}, {took:.0f} s")
    return carry[0], np.concatenate(losses)


def curves(family: Family, opts: Any, steps: int, seeds: int) -> np.ndarray:
    """Losses of runs: an array of optimizers, seeds and steps."""
    keys = jax.random.split(jax.random.key(1_000_003), seeds)

    def run(opt: Any, key: Any) -> Any:
        first, rest = jax.random.split(key)
        state = family.init(opt, first)
        keys = jax.random.split(rest, steps)
        return lax.scan(lambda s, k: family.step(opt, s, k), state, keys)[1]

    over_seeds = jax.vmap(run, in_axes=(None, 0))
    return np.asarray(jax.jit(jax.vmap(over_seeds, in_axes=(0, None)))(opts, keys))


class Comparison(NamedTuple):
    """One held-out task.

    Attributes:
      rate: the best of Adam's learning rates.
      edge: whether that is the first or the last that was tried.
      adam, learned: losses, seeds × steps.
      final: means of the last tenth of steps, Adam's and the learned one's, one a seed.
    """

    rate: float
    edge: bool
    adam: np.ndarray
    learned: np.ndarray
    final: tuple[np.ndarray, np.ndarray]

    @property
    def verdict(self) -> str:
        """Which is better, where a 95 % interval of paired differences says so."""
        difference = mean_interval(self.final[1] - self.final[0])
        if difference.high < 0:
            return "learned"
        return "adam" if difference.low > 0 else "no difference"


def compare(learned: Any, plan: Plan) -> dict[str, Comparison]:
    """Sets a learned optimizer beside Adam, tuned on each of the tasks themselves."""
    adams, found = gl.stack([gl.adam(rate) for rate in plan.rates]), {}
    for name, (family, length) in held_out(plan).items():
        swept = curves(family, adams, length, plan.seeds)
        own = curves(family, gl.stack([learned]), length, plan.seeds)[0]
        tail = max(1, length // 10)
        finals = swept[..., -tail:].mean(-1)
        best = int(np.argmin(finals.mean(1)))
        edge = best in (0, len(plan.rates) - 1)
        final = finals[best], own[:, -tail:].mean(-1)
        found[name] = Comparison(plan.rates[best], edge, swept[best], own, final)
    return found


def table(found: dict[str, Comparison]) -> list[list[str]]:
    """A row for each task, in words and numbers."""
    rows = []
    for name, one in found.items():
        adam, own = (f"{x.mean():.4f} ± {x.std(ddof=1):.4f}" for x in one.final)
        rate = f"{one.rate:.1e}" + (" (edge of the grid)" if one.edge else "")
        rows.append([name, rate, adam, own, one.verdict])
    return rows


HEADER = ("task", "adam's best rate", "adam: final loss", "learned: final loss", "better")
CURVES = (
    "The outer loss while meta-training, a running mean; then losses on each task, means over "
    "seeds."
)
TEXT = (
    "The weights of a learned optimizer were trained with persistent evolution strategies "
    "(arXiv:2112.13835v1) on noisy quadratics and small networks for digits. It then trains tasks "
    "that it has not seen, with no setting tuned, beside Adam, whose learning rate is the best of "
    "a grid on each of these very tasks: a comparison that favours Adam."
)
NOTE = (
    "Losses are in units of that at the start, or of log 10 for digits, on training batches; the "
    "final one is the mean of the last tenth of steps, ± the deviation over seeds. Better is what "
    "a 95 % interval of paired differences says. What the learned optimizer was not trained for, "
    "longer runs above all, it may do badly."
)


def page(rule: str, losses: np.ndarray, found: dict[str, Comparison]) -> Page:
    """The page with curves and table."""
    outer = running_mean(losses.mean(1), max(1, len(losses) // 50))
    panels = [Panel("meta-training: outer loss", "outer step", {rule: outer})]
    for name, one in found.items():
        both = {ADAM: steps(one.adam.mean(0)), rule: steps(one.learned.mean(0))}
        panels.append(Panel(name, "step", both, log="y" if name.startswith("quadratics") else ""))
    return Page(
        title=f"{rule}, meta-trained",
        text=TEXT,
        labels=(ADAM, rule),
        charts=[(chart("Curves", panels, (ADAM, rule)), CURVES)],
        rows=table(found),
        note=NOTE,
        header=HEADER,
    )


def main(
    small: Annotated[bool, typer.Option("--tiny", help="Half a minute.")] = False,
    rule: Annotated[str, typer.Option(help="learned_mlp or learned_rnn.")] = "learned_mlp",
    steps: Annotated[int | None, typer.Option(help="Outer steps.")] = None,
    output: Annotated[Path, typer.Option(help="Folder for page and weights.")] = Path("meta_train"),
) -> None:
    """Meta-trains a learned optimizer, saves it and compares it with tuned Adam."""
    plan = TINY if small else Plan()
    plan = plan if steps is None else dataclasses.replace(plan, outer_steps=steps)
    weights, losses = meta_train(rule, plan)
    learned = RULES[rule][0](weights=weights)
    gl.meta.save_learned(output.absolute() / "optimizer", learned)
    found = compare(gl.meta.load_learned(output.absolute() / "optimizer"), plan)
    page(rule, losses, found).write(output)


if __name__ == "__main__":
    typer.run(main)
