"""Weights of classes in a loss, learned by gradient while the network trains.

`python -m gradlab.examples.class_weights [--tiny] [--output DIR]` trains on digits of which the
upper five are rare. The loss weighs every class; the weights follow the gradient of the loss on
a few balanced images, through the last few steps of training. Beside it stand equal weights,
weights inverse to frequency, and equal weights with those few images in the training data.
"""

from __future__ import annotations

import dataclasses
import functools
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
    "Half of the digits are rare in training, and all are equally common in the test. How much "
    "should a rare image count? The weights of the classes are hyperparameters of the loss: a "
    "few balanced images say, by a gradient through the last steps of training, which to raise."
)
BY_CLASS = (
    "Weights relative to their mean, and the share of wrong test images of a class; digits from "
    "{rare} on are rare. Means over seeds."
)
CLOSING = (
    "{seeds} seeds, which differ in initial parameters and batches: means ± standard errors at "
    "the end. All ways train for {steps} steps with the same optimizer, which nothing was tuned "
    "for. The balanced images, {validation} of them, also help when they are simply trained on: "
    "that is the third way, and what learning weights has to be compared with. Times are medians, "
    "made in turns, compiling left out."
)
EQUAL, INVERSE, MORE, LEARNED = (
    "equal", "inverse frequency", "equal, more images", "learned"
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is trained, and for how long.

    Attributes:
      tuning: steps of tuning.
      inner: steps of training for each of them.
      kept: the share of the images of a rare class.
      rare: the first rare class.
      each: balanced images of each class.
      seeds: how many.
      batch_size: images.
      outer_rate: of the optimizer that moves the weights.
    """

    tuning: int = 200
    inner: int = 5
    kept: float = 0.1
    rare: int = 5
    each: int = 8
    seeds: int = 8
    batch_size: int = 32
    outer_rate: float = 0.05


def data(setting: Setting) -> tuple[Any, Any, Any]:
    """Unbalanced training images, a few balanced ones, and test images."""
    (images, labels), held_out = problems.digits()
    places = [np.flatnonzero(labels == digit) for digit in range(10)]
    balanced = np.concatenate([found[: setting.each] for found in places])
    left = [found[setting.each :] for found in places]
    kept = [
        found[: max(2, int(setting.kept * len(found)))] if digit >= setting.rare else found
        for digit, found in enumerate(left)
    ]
    chosen = np.concatenate(kept)
    parts = ((images[chosen], labels[chosen]), (images[balanced], labels[balanced]), held_out)
    return jax.tree.map(jnp.asarray, parts)


def study(setting: Setting) -> dict[str, dict[str, Any]]:
    """Trains in every way; what is measured has a leading axis of seeds."""
    training, balanced, held_out = data(setting)
    problem = problems.digits_mlp(batch_size=setting.batch_size)
    both = jax.tree.map(lambda *x: jnp.concatenate(x), training, balanced)
    counts = jnp.bincount(training[1], length=10)
    opt = gl.adam(3e-3)

    def weighted(params: Any, batch: Any, weights: Any) -> Any:
        each = jax.vmap(lambda x, y: problem.loss(params, (x[None], y[None])))(*batch)
        share = weights[batch[1]]
        return jnp.sum(share * each) / jnp.sum(share)

    def validation_loss(params: Any, batch: Any, weights: Any) -> Any:
        del weights
        return problem.loss(params, batch)

    def tuner(weights: Any) -> Any:
        return gl.meta.online_hypergradient(
            opt, weighted, validation_loss, gl.adam(setting.outer_rate),
            tuned="hyper", hyper=weights, ranges={"hyper": "(0, inf)"},
        )  # fmt: skip

    @functools.partial(jax.jit, static_argnums=0)
    @functools.partial(jax.vmap, in_axes=(None, None, None, 0))
    def run(learned: bool, weights: Any, pool: Any, seed: Any) -> Any:
        made = tuner(weights)
        first, rest = jax.random.split(jax.random.key(seed))

        def step(state: Any, key: Any) -> Any:
            shape = (setting.inner, setting.batch_size)
            chosen = jax.random.randint(key, shape, 0, len(pool[1]))
            batches = jax.tree.map(lambda x: x[chosen], pool)
            if learned:
                state, _ = made.step(state, batches, balanced)
            else:  # nothing to differentiate
                opt_now, now = made.current(state)
                end = gl.meta.unroll(
                    opt_now, lambda p, batch: weighted(p, batch, now), state.params, batches,
                    state=state.opt_state,
                )  # fmt: skip
                state = state._replace(params=end.params, opt_state=end.state)
            return state, problem.evaluate(state.params)

        keys = jax.random.split(rest, setting.tuning)
        state, losses = jax.lax.scan(step, made.init(problem.init(first)), keys)
        return state.params, made.current(state)[1], losses

    @jax.jit
    @jax.vmap
    def errors(params: Any) -> Any:
        """The share of wrong test images of each class."""

        def loss_as(image: Any, label: Any) -> Any:
            return problem.loss(params, (image[None], label[None]))

        each = jax.vmap(jax.vmap(loss_as, (None, 0)), (0, None))(held_out[0], jnp.arange(10))
        wrong = (jnp.argmin(each, 1) != held_out[1]).astype(jnp.float32)
        return jnp.bincount(held_out[1], wrong, length=10) / jnp.bincount(held_out[1], length=10)

    ones, inverse = jnp.ones(10), jnp.mean(counts) / counts
    ways = {
        EQUAL: (False, ones, training),
        INVERSE: (False, inverse, training),
        MORE: (False, ones, both),
        LEARNED: (True, ones, training),
    }
    seeds, found, calls = jnp.arange(setting.seeds), {}, {}
    for label, way in ways.items():
        calls[label] = functools.partial(run, *way, seeds)
        params, weights, losses = calls[label]()
        found[label] = {
            "weights": np.asarray(weights / jnp.mean(weights, 1, keepdims=True)),
            "losses": np.asarray(losses),
            "errors": np.asarray(errors(params)),
        }
    for label, seconds in in_turns(calls, rounds=5, warm_up=1).items():
        found[label]["seconds"] = float(np.median(seconds)) / (setting.tuning * setting.inner)
    return found


def page(setting: Setting, found: dict[str, dict[str, Any]]) -> Page:
    """The page of a study."""
    labels, rare = list(found), setting.rare
    steps = setting.inner * np.arange(1, setting.tuning + 1)
    digits = np.arange(10)
    panels = [
        Panel("test loss [nats]", "step",
              {label: (steps, one["losses"].mean(0)) for label, one in found.items()}, log="y"),
        Panel("weight of a class", "digit",
              {label: (digits, one["weights"].mean(0)) for label, one in found.items()}, dots=True),
        Panel("wrong test images of a class", "digit",
              {label: (digits, one["errors"].mean(0)) for label, one in found.items()}, dots=True),
    ]  # fmt: skip
    base = found[EQUAL]["seconds"]
    rows = {
        "test loss [nats]": [spread(found[label]["losses"][:, -1]) for label in labels],
        "wrong, mean of classes [%]": [
            spread(100 * found[label]["errors"].mean(1)) for label in labels
        ],
        "wrong, rare classes [%]": [
            spread(100 * found[label]["errors"][:, rare:].mean(1)) for label in labels
        ],
        "weight of rare ÷ common": [
            spread(one["weights"][:, rare:].mean(1) / one["weights"][:, :rare].mean(1))
            for one in found.values()
        ],
        "time of a step of all seeds": [formats.seconds(found[x]["seconds"]) for x in labels],
        "÷ equal": [formats.number(found[label]["seconds"] / base) for label in labels],
    }
    closing = CLOSING.format(
        seeds=setting.seeds, steps=setting.tuning * setting.inner, validation=10 * setting.each
    )
    return Page(
        title="Learned weights of classes",
        text=TEXT,
        labels=labels,
        charts=[(chart("Learned weights", panels, labels, 320), BY_CLASS.format(rare=rare))],
        rows=[(name, *cells) for name, cells in rows.items()],
        note=closing,
    )


def tiny() -> Setting:
    """The same in a few seconds."""
    return Setting(tuning=25, inner=4, seeds=3, outer_rate=0.2)


def main(
    small: Annotated[bool, typer.Option("--tiny", help="A few seconds.")] = False,
    output: Annotated[Path, typer.Option(help="Folder for the page.")] = Path("class_weights"),
) -> None:
    """Learns the weights of classes on unbalanced digits."""
    setting = tiny() if small else Setting()
    page(setting, study(setting)).write(output)


if __name__ == "__main__":
    typer.run(main)
