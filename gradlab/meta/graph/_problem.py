"""One problem of a graph: a loss that its own variables make small, given those of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gradlab import core
from gradlab.core import Transform, hyper, part, static
from gradlab.meta.graph._responses import Response, adopt_response


class Problem(core.Data):
    r"""One level of `problem_graph`: variables, what they are judged by, and what moves them.

    $$y^*(\text{above}) \in \arg\min_y g(y, \text{above}, \text{below}^*(y, \text{above}))$$

    Its leaves are the hyperparameters of the optimizer and of the response; the rest is structure.

    Args:
      name: what the variables are called in losses, states and batches.
      loss: `loss(variables, batch)`, a real scalar, where `variables` is a dict of the problem's
        own variables and those that `depends` names.
      optimizer: what moves the variables along the gradient, any gradlab or optax transformation.
      depends: the other problems whose variables the loss reads. Of one that stands lower in the
        graph, the best response to this problem is meant; of a higher one, whatever it is.
      every: after how many steps of the graph it steps once, at least 1.
      response: how the problems above differentiate through the best response of this one: the
        name of a solver of `implicit_hypergradient` that needs no more options (`"cg"`,
        `"minres"`, `"gmres"`, `"bicgstab"`, `"normal_cg"`, `"dense"`), `implicit_hypergradient(…)`,
        `finite_difference_response(…)`, `unrolled_response(…)`, or `"held"`: not at all, they take
        the variables for constants.
      project: brings the variables to the nearest point of their set after each step.

    Raises:
      TypeError: a value of the wrong kind; the message names the problem.
      ValueError: an option that a response does not take.

    Example:
      >>> import gradlab as gl
      >>> gl.meta.Problem(
      ...     name="x",
      ...     loss=lambda v, batch: (v["x"] - batch) ** 2,
      ...     optimizer=gl.sgd(0.1),
      ...     response="held",
      ... ).optimizer
      sgd(learning_rate=0.1)
    """

    optimizer: Transform = hyper()
    response: Response = part(default="cg", convert=lambda value: adopt_response("Problem", value))
    name: str = static()
    loss: Callable[[dict[str, Any], Any], Any] = static()
    depends: tuple[str, ...] = static(default=(), convert=tuple)
    every: int = static(default=1, convert=core.count_at_least(1))
    project: Callable[[Any], Any] | None = static(default=None)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise TypeError(f"Problem: name={self.name!r} is no name")
        owner = f"Problem {self.name!r}"
        for field in ("loss", "project"):
            value = getattr(self, field)
            if not callable(value) and not (field == "project" and value is None):
                raise TypeError(f"{owner}: {field}={value!r} is not a function")
        if isinstance(self.depends, str) or not all(isinstance(n, str) for n in self.depends):
            raise TypeError(f"{owner}: depends={self.depends!r} is no tuple of names")
        adopted: Mapping[str, Any] = {
            "optimizer": core.adopt_transform(self.optimizer, owner),
            "response": adopt_response(owner, self.response),
            "depends": tuple(self.depends),
        }
        for field, value in adopted.items():
            object.__setattr__(self, field, value)
        try:
            object.__setattr__(self, "every", core.count_at_least(1)(self.every))
        except (TypeError, ValueError) as error:
            raise type(error)(f"{owner}: every: {error}") from None
