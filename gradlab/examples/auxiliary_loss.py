"""An auxiliary loss beside the main one: weights should be small, but not at any price.

`python -m gradlab.examples.auxiliary_loss [--tiny] [--output DIR]` trains on digits with the
squared norm of the parameters as auxiliary loss: along the gradient of a weighted sum, and along
Bloop's direction, which leaves out what the main loss would mind.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import typer

import gradlab as gl
from gradlab import problems
from gradlab.examples._experiment import Experiment, aggregated, plain, present

TEXT = (
    "The main loss is the cross-entropy of digits, the auxiliary loss half the squared norm of "
    "the parameters. In the weighted sum it also pulls back along what the main loss needs; "
    "Bloop uses only what of it is orthogonal to an average of main gradients (Hsieh et al., "
    "arXiv:2402.02998), so that the norm falls where the main loss does not care."
)
WEIGHT = 0.05


def experiment(steps: int = 600, batch_size: int = 64, b1: float = 0.9) -> Experiment:
    """The experiment.

    Args:
      steps: of training.
      batch_size: images in a batch.
      b1: decay of Bloop's average of main gradients.
    """
    problem = problems.digits_mlp(batch_size=batch_size)

    def half_squared_norm(params: Any) -> Any:
        return 0.5 * sum(jnp.sum(x**2) for x in jax.tree.leaves(params))

    def losses(params: Any, batch: Any) -> Any:
        return jnp.stack([problem.loss(params, batch), half_squared_norm(params)])

    def mixed(params: Any, batch: Any) -> Any:
        main, auxiliary = losses(params, batch)
        return main + WEIGHT * auxiliary

    return Experiment(
        title="An auxiliary loss on digits",
        text=TEXT,
        init=problem.init,
        sample=problem.sample,
        losses=losses,
        shown=lambda values, batch: {
            "main loss [nats]": values[0],
            "auxiliary loss [squared weights]": values[1],
        },
        measures={f"{problem.metric} [{problem.metric_unit}]": problem.evaluate},
        ways=(
            plain("weighted sum", mixed),
            aggregated("bloop", gl.bloop(WEIGHT, b1), losses),
            plain("main loss alone", problem.loss),
        ),
        opt=gl.sgd(0.1),
        steps=steps,
        objectives=("main loss", "auxiliary loss"),
    )


def tiny() -> Experiment:
    """The same in a few seconds."""
    return experiment(steps=60, batch_size=16)


def main(
    small: Annotated[bool, typer.Option("--tiny", help="A few seconds.")] = False,
    output: Annotated[Path, typer.Option(help="Folder for the page.")] = Path("auxiliary_loss"),
) -> None:
    """Trains digits with an auxiliary loss, with a weighted sum and with Bloop."""
    present(tiny() if small else experiment(), output, small)


if __name__ == "__main__":
    typer.run(main)
