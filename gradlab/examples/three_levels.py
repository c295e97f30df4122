"""Three levels: how strongly learned weights of images are held back is learned as well.

`python -m gradlab.examples.three_levels [--tiny] [--output DIR]` trains a classifier on digits of
which half have a wrong label. A few images with right labels say what each training image should
weigh; a few others say how large weights and classifier may become. Beside it stand the same
without the top level, without the level between, and training without either.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
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
    "Half of the training images have a wrong label; {clean} images are known to have right ones. "
    "The lowest level is a linear classifier of weighted images, with a decay. The middle level is "
    "a weight for each training image: it is judged by the classifier's loss on right labels, and "
    "held back by a penalty. The top level is the strength of decay and penalty. It is judged by "
    "the classifier on right labels that the middle level has not seen, and reaches the classifier "
    "both directly and through the weights: its derivative is the sum over both ways."
)
CHART = "Means over seeds; the step is the classifier's."
CLOSING = (
    "{seeds} seeds, each with its own images and wrong labels: means ± standard errors at the end. "
    "Images with right labels: where strengths are learned, half of them are for that, and the "
    "other half for the weights or, without weights, for the classifier; without a top level all "
    "are for the weights, or for the classifier. Fixed strengths are those that learned ones start "
    "from; with less decay, by hand, it is a tenth of that. The strengths are judged by the loss, "
    "and not by the share of wrong images. "
    "Linear systems of responses are solved by conjugate gradients: {solved}. Times are medians, "
    "made in turns, compiling left out."
)
ALL, CLEAN, LESS_DECAY, CLEAN_DECAY, NO_TOP, THREE = (
    "all images", "right labels alone", "right labels, less decay", "right labels, decay learned",
    "weights learned", "three levels",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is trained, and for how long.

    Attributes:
      train: images, half of them with a wrong label.
      clean: images with right labels, half of them for each of the upper levels.
      steps: of the classifier.
      middle, top: after how many of them a step of the weights and of the strengths follows.
      seeds: how many.
      decay, penalty: the strengths at the start.
    """

    train: int = 400
    clean: int = 100
    steps: int = 2000
    middle: int = 5
    top: int = 50
    seeds: int = 5
    decay: float = 1e-2
    penalty: float = 1e-3

    @property
    def strengths(self) -> dict[str, Any]:
        """Logarithms, so that every value makes sense."""
        return {"decay": jnp.log(self.decay), "penalty": jnp.log(self.penalty)}


def data(setting: Setting) -> tuple[Any, Any, Any, Any]:
    """Training images with their wrong labels marked, right ones, and test images."""
    (images, labels), held_out = problems.digits()
    noisy, marks, clean = [], [], []
    for seed in range(setting.seeds):
        draw = np.random.default_rng([seed, 12])
        order = draw.permutation(len(labels))[: setting.train + setting.clean]
        chosen, other = order[: setting.train], order[setting.train :]
        wrong = draw.random(setting.train) < 0.5
        shift = draw.integers(1, 10, setting.train)
        noisy.append(
            (images[chosen], np.where(wrong, (labels[chosen] + shift) % 10, labels[chosen]))
        )
        marks.append(wrong)
        clean.append((images[other], labels[other]))
    stacked = (jax.tree.map(lambda *x: jnp.asarray(np.stack(x)), *part) for part in (noisy, clean))
    noisy, clean = stacked
    return noisy, np.stack(marks), clean, jax.tree.map(jnp.asarray, held_out)


def cross_entropies(classifier: Any, batch: Any) -> jax.Array:
    """The loss of each image [nats]."""
    images, labels = batch
    logits = jax.nn.log_softmax(images @ classifier["w"] + classifier["b"])
    return -jnp.take_along_axis(logits, labels[:, None], axis=1)[:, 0]


def graph(setting: Setting, names: tuple[str, ...]) -> gl.meta.ProblemGraph:
    """Some of the levels, the lowest first; what the others would set is at its start."""

    def strength(variables: Any, name: str) -> Any:
        return jnp.exp(variables.get("strengths", setting.strengths)[name])

    def training(variables: Any, batch: Any) -> Any:
        own = variables["classifier"]
        each = cross_entropies(own, batch)
        shares = jax.nn.sigmoid(variables.get("weights", jnp.zeros(each.shape)))
        decay = sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(own))
        loss = jnp.sum(shares * each) / jnp.sum(shares)
        return loss + strength(variables, "decay") / 2 * decay

    def judging(variables: Any, batch: Any) -> Any:
        penalty = jnp.sum(jnp.square(variables["weights"]))
        loss = jnp.mean(cross_entropies(variables["classifier"], batch))
        return loss + strength(variables, "penalty") / 2 * penalty

    def judging_that(variables: Any, batch: Any) -> Any:
        return jnp.mean(cross_entropies(variables["classifier"], batch))

    solved = functools.partial(
        gl.meta.implicit_hypergradient, "cg", tolerance=1e-2, on_failure="ignore"
    )
    levels = [
        gl.meta.Problem(
            name="classifier",
            loss=training,
            optimizer=gl.sgd(0.5, momentum=0.9),
            depends=names[1:],
            response=solved(damping=1e-2, max_steps=50),
        ),
        gl.meta.Problem(
            name="weights",
            loss=judging,
            optimizer=gl.adam(0.5),
            depends=tuple(name for name in names if name != "weights"),
            every=setting.middle,
            response=solved(damping=setting.penalty, max_steps=5),
        ),
        gl.meta.Problem(
            name="strengths",
            loss=judging_that,
            optimizer=gl.adam(0.1),
            depends=("classifier",),
            every=setting.top,
        ),
    ]
    return gl.meta.problem_graph([level for level in levels if level.name in names])


def study(setting: Setting) -> dict[str, dict[str, Any]]:
    """Trains in every way; what is measured has a leading axis of seeds."""
    noisy, wrong, clean, held_out = data(setting)
    half = setting.clean // 2
    first, second = (jax.tree.map(lambda x, part=part: x[:, part], clean)
                     for part in (slice(half), slice(half, None)))  # fmt: skip
    both = jax.tree.map(lambda *x: jnp.concatenate(x, axis=1), noisy, clean)
    start = {
        "classifier": {"w": jnp.zeros((64, 10)), "b": jnp.zeros(10)},
        "weights": jnp.zeros(setting.train),
        "strengths": setting.strengths,
    }

    def run(made: gl.meta.ProblemGraph, fixed: dict[str, Any], batches: Any) -> Any:
        def one(batches: Any) -> Any:
            def step(state: Any, _: Any) -> Any:
                state, report = made.step(state, batches)
                own = state.variables["classifier"]
                lost = jnp.mean(cross_entropies(own, held_out))
                now = state.variables.get("strengths", fixed)
                return state, (lost, now, report.responses)

            state = made.init({problem.name: start[problem.name] for problem in made.problems})
            state, seen = jax.lax.scan(step, state, None, length=setting.steps)
            guess = jnp.argmax(held_out[0] @ state.variables["classifier"]["w"]
                               + state.variables["classifier"]["b"], axis=-1)  # fmt: skip
            error = jnp.mean(guess != held_out[1])
            return error, state.variables.get("weights", start["weights"]), *seen

        return jax.vmap(one)(batches)

    ways = {
        ALL: {"classifier": both},
        CLEAN: {"classifier": clean},
        LESS_DECAY: {"classifier": clean},
        CLEAN_DECAY: {"classifier": first, "strengths": second},
        NO_TOP: {"classifier": noisy, "weights": clean},
        THREE: {"classifier": noisy, "weights": first, "strengths": second},
    }
    found, calls = {}, {}
    for label, batches in ways.items():
        own = dataclasses.replace(setting, decay=setting.decay / (10 if label == LESS_DECAY else 1))
        program = jax.jit(functools.partial(run, graph(own, tuple(batches)), own.strengths))
        calls[label] = functools.partial(program, batches)
        error, weights, losses, strengths, responses = jax.tree.map(np.asarray, calls[label]())
        found[label] = {
            "errors": error,
            "losses": losses,
            "strengths": {name: np.exp(x) for name, x in strengths.items()},
            "order": np.array([separation(*pair) for pair in zip(weights, wrong, strict=True)]),
            "converged": _converged(responses),
        }
    for label, seconds in in_turns(calls, rounds=2, warm_up=0).items():
        found[label]["seconds"] = float(np.median(seconds)) / setting.steps
    return found


def separation(weights: np.ndarray, wrong: np.ndarray) -> float:
    """The share of pairs of a right and a wrong label in which the right one weighs more."""
    right, false = weights[~wrong][:, None], weights[wrong][None]
    return float(np.mean((right > false) + 0.5 * (right == false)))


def _converged(responses: Mapping[str, Any]) -> dict[str, float]:
    """How often each system was solved to its tolerance, of the times that it was."""
    return {
        f"{upper} through {lower}": float(np.mean(one.converged[np.isfinite(one.residual)]))
        for upper, below in responses.items()
        for lower, one in below.items()
    }


def page(setting: Setting, found: dict[str, dict[str, Any]]) -> Page:
    """The page of a study."""
    labels, steps = list(found), np.arange(1, setting.steps + 1)
    shown = slice(None, None, max(1, setting.steps // 200))

    def lines(of: Any) -> dict[str, Any]:
        return {label: (steps[shown], of(one)[shown]) for label, one in found.items()}

    panels = [
        Panel("test loss [nats]", "step", lines(lambda one: one["losses"].mean(0)), log="y"),
        *(
            Panel(f"strength of the {name}", "step",
                  lines(lambda one, name=name: np.exp(np.log(one["strengths"][name]).mean(0))),
                  log="y")
            for name in ("decay", "penalty")
        ),
    ]  # fmt: skip
    base = found[ALL]["seconds"]
    rows = {
        "test loss [nats]": [spread(one["losses"][:, -1]) for one in found.values()],
        "wrong test images [%]": [spread(100 * one["errors"]) for one in found.values()],
        "right labels above wrong [%]": [
            spread(100 * found[label]["order"]) if label in (NO_TOP, THREE) else ""
            for label in labels
        ],
        "time of a step of all seeds": [formats.seconds(one["seconds"]) for one in found.values()],
        f"÷ {ALL}": [formats.number(one["seconds"] / base) for one in found.values()],
    }
    solved = "; ".join(
        f"{label}, {path}: {100 * share:.0f} % to their tolerance"
        for label in labels
        for path, share in found[label]["converged"].items()
    )
    return Page(
        title="Three levels: classifier, weights of images, strengths",
        text=TEXT.format(clean=setting.clean),
        labels=labels,
        charts=[(chart("Three levels", panels, labels, 320), CHART)],
        rows=[(name, *cells) for name, cells in rows.items()],
        note=CLOSING.format(seeds=setting.seeds, solved=solved),
    )


def tiny() -> Setting:
    """The same in a few seconds."""
    return Setting(train=100, clean=60, steps=240, top=20, seeds=2)


def main(
    small: Annotated[bool, typer.Option("--tiny", help="A few seconds.")] = False,
    output: Annotated[Path, typer.Option(help="Folder for the page.")] = Path("three_levels"),
) -> None:
    """Learns weights of images, and how strongly to hold them back."""
    setting = tiny() if small else Setting()
    page(setting, study(setting)).write(output)


if __name__ == "__main__":
    typer.run(main)
