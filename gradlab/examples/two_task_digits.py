"""Two tasks on handwritten digits, their class and their parity, whose gradients conflict.

`python -m gradlab.examples.two_task_digits [--tiny] [--output DIR]` trains one narrow network on
both: along the gradient of the sum of the losses, and along UPGrad's combination of the two
gradients, which harms neither.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import typer

import gradlab as gl
from gradlab import problems
from gradlab.examples import _networks
from gradlab.examples._experiment import Experiment, aggregated, plain, present

TEXT = (
    "One hidden layer serves two tasks: which digit it is, and whether it is odd. It has two "
    "units, for which the tasks compete. The sum of the losses follows the louder task "
    "where they conflict; UPGrad projects each gradient until it harms no task, and is that sum "
    "where there is no conflict."
)
TASKS = ("class", "parity")


def experiment(steps: int = 600, width: int = 2, batch_size: int = 32) -> Experiment:
    """The experiment.

    Args:
      steps: of training.
      width: units that the tasks share.
      batch_size: images in a batch.
    """
    (images, labels), held_out = jax.tree.map(jnp.asarray, problems.digits())

    def init(key: Any) -> Any:
        shapes = {"shared": (64, width), "class": (width, 10), "parity": (width, 2)}
        return _networks.initial(key, shapes)

    def logits(params: Any, x: Any) -> dict[str, Any]:
        hidden = jax.nn.relu(_networks.apply(params["shared"], x))
        return {task: _networks.apply(params[task], hidden) for task in TASKS}

    def losses(params: Any, batch: Any) -> Any:
        x, digit = batch
        found = logits(params, x)
        truth = {"class": digit, "parity": digit % 2}
        return jnp.stack([jnp.mean(cross_entropy(found[task], truth[task])) for task in TASKS])

    def cross_entropy(found: Any, truth: Any) -> Any:
        return gl.losses.softmax_cross_entropy_with_integer_labels(found, truth)

    def sample(key: Any) -> Any:
        chosen = jax.random.randint(key, (batch_size,), 0, len(labels))
        return images[chosen], labels[chosen]

    def held_out_loss(place: int) -> Any:
        return lambda params: losses(params, held_out)[place]

    return Experiment(
        title="Two tasks on digits",
        text=TEXT,
        init=init,
        sample=sample,
        losses=losses,
        shown=lambda values, batch: {f"loss of {t} [nats]": values[i] for i, t in enumerate(TASKS)},
        measures={f"held-out loss of {t} [nats]": held_out_loss(i) for i, t in enumerate(TASKS)},
        ways=(
            plain("plain sum", lambda params, batch: jnp.sum(losses(params, batch))),
            aggregated("upgrad", gl.upgrad(pref_vector=(1.0, 1.0)), losses),
        ),
        opt=gl.sgd(0.1),
        steps=steps,
        objectives=TASKS,
    )


def tiny() -> Experiment:
    """The same in a few seconds."""
    return experiment(steps=60, batch_size=16)


def main(
    small: Annotated[bool, typer.Option("--tiny", help="A few seconds.")] = False,
    output: Annotated[Path, typer.Option(help="Folder for the page.")] = Path("two_task_digits"),
) -> None:
    """Trains digits for class and parity, with a plain sum and with UPGrad."""
    present(tiny() if small else experiment(), output, small)


if __name__ == "__main__":
    typer.run(main)
