"""Instance-wise risk minimisation: each image of a batch is an objective, some labels are wrong.

`python -m gradlab.examples.noisy_labels [--tiny] [--output DIR]` trains on digits of which some
have a random label: along the mean gradient, and along UPGrad's combination of the gradients of
all images, from their Gramian and without their Jacobian.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import typer

import gradlab as gl
from gradlab import problems
from gradlab.examples import _networks
from gradlab.examples._experiment import Experiment, Way, plain, present

TEXT = (
    "Every image of a batch is an objective of its own, and some training labels are random. The "
    "mean gradient may harm images, and does; UPGrad's direction harms none, right label or wrong, "
    "as far as single precision tells (Quinton and Rey, arXiv:2406.16232v3). Its weights come "
    "from the inner products of the gradients. Held-out labels are right."
)


def experiment(steps: int = 400, batch_size: int = 32, noise: float = 0.3) -> Experiment:
    """The experiment.

    Args:
      steps: of training.
      batch_size: images in a batch, and so objectives.
      noise: the share of training images that have a random label.
    """
    problem = problems.digits_mlp(batch_size=batch_size)
    (images, truth), _ = problems.digits()
    draw = np.random.default_rng(0)
    wrong = draw.random(len(truth)) < noise
    labels = np.where(wrong, draw.integers(0, 10, len(truth)), truth)
    images, labels, right = jnp.asarray(images), jnp.asarray(labels), jnp.asarray(labels == truth)

    def sample(key: Any) -> Any:
        chosen = jax.random.randint(key, (batch_size,), 0, len(labels))
        return images[chosen], labels[chosen], right[chosen]

    def loss(params: Any, example: Any) -> Any:
        # The cross-entropy, from margins: the usual formula takes a probability from one, so
        # that the gradient of an image that is all but certain is mostly rounding, and UPGrad
        # gives every gradient the same say, however small.
        image, label, _ = example
        logits = _networks.outputs(params, image)
        others = jnp.arange(logits.size) != label
        return jax.nn.softplus(jax.nn.logsumexp(logits - logits[label], where=others))

    def losses(params: Any, batch: Any) -> Any:
        return jax.vmap(loss, in_axes=(None, 0))(params, batch)

    def shown(values: Any, batch: Any) -> dict[str, Any]:
        good = batch[2].astype(values.dtype)

        def mean(weights: Any) -> Any:
            return jnp.sum(weights * values) / jnp.maximum(jnp.sum(weights), 1.0)

        return {
            "loss of right labels [nats]": mean(good),
            "loss of wrong labels [nats]": mean(1 - good),
        }

    upgrad = gl.upgrad()

    def gradient(params: Any, state: Any, batch: Any) -> tuple[Any, Any]:
        _, found, state = gl.aggregators.value_and_gradient(upgrad, loss, params, batch, state)
        return found, state

    return Experiment(
        title="Digits with wrong labels",
        text=TEXT,
        init=problem.init,
        sample=sample,
        losses=losses,
        shown=shown,
        measures={f"{problem.metric} [{problem.metric_unit}]": problem.evaluate},
        ways=(
            plain("plain mean", lambda params, batch: jnp.mean(losses(params, batch))),
            Way("upgrad", upgrad.init, gradient),
        ),
        opt=gl.sgd(0.1),
        steps=steps,
    )


def tiny() -> Experiment:
    """The same in a few seconds."""
    return experiment(steps=40, batch_size=8)


def main(
    small: Annotated[bool, typer.Option("--tiny", help="A few seconds.")] = False,
    output: Annotated[Path, typer.Option(help="Folder for the page.")] = Path("noisy_labels"),
) -> None:
    """Trains digits with wrong labels, with the mean gradient and with UPGrad."""
    present(tiny() if small else experiment(), output, small)


if __name__ == "__main__":
    typer.run(main)
