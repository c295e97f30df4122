"""One objective after the other."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.aggregators._weighting import Weighting, denied
from gradlab.core import Params, static


class AlternatingTasksState(NamedTuple):
    """State of `alternating_tasks`: a count of steps."""

    count: jax.Array


class AlternatingTasks(Weighting):
    """Takes the gradients in turns."""

    holds = ("linear under scaling", "idempotent")
    fails = denied(
        {
            "non-conflicting": ((1, 0), (-2, 1)),
            "permutation invariant": ((1, 0), (0, 1)),
            "strongly stationary": ((0, 0), (1, 0)),
            "mean without conflict": ((1, 0), (0, 1)),
        }
    )

    steps_each: int = static(convert=core.count_at_least(1))

    def init(self, params: Params) -> AlternatingTasksState:
        del params
        return AlternatingTasksState(core.step_count())

    def weigh(self, gram: jax.Array, state: Any, **extra: Any) -> tuple[jax.Array, Any]:
        del extra
        turn = (state.count // self.steps_each) % len(gram)
        weights = (jnp.arange(len(gram)) == turn).astype(gram.dtype)
        return weights, AlternatingTasksState(state.count + 1)


@core.builds(AlternatingTasks)
def alternating_tasks(*, steps_each: int = 1):
    r"""Alternating tasks take turns: each step follows the gradient of one objective.

    $$u = g_i,\quad i = \lfloor t / n \rfloor \bmod m$$

    Modalities, tasks and resolutions that differ too much to share a batch are trained so.
    Gradients come in with a leading axis of objectives on every array, as `jax.jacrev` gives
    them, and go out without it.

    Args:
      steps_each: the number n of steps in a row for each objective.

    Returns:
      The transformation, to be the first link of a chain. State: a count.

    Raises:
      ValueError: gradients without the leading axis, such as a sum; a number outside its
        range.

    Properties:
      At each step: linear under scaling, idempotent.
      Not non-conflicting: [[1, 0], [-2, 1]]. Not permutation invariant: [[1, 0], [0, 1]].
      Not strongly stationary: [[0, 0], [1, 0]]. Not mean without conflict: [[1, 0], [0, 1]].

    References:
      Akbari et al., "Alternating Gradient Descent and Mixture-of-Experts for Integrated
      Multimodal Perception", 2023, on alternating gradient descent.

    Differs:
      Here all gradients are computed and one is used. Where computing them is what costs, take
      the gradient of one loss a step instead, and no aggregator.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> turns = gl.alternating_tasks()
      >>> gradients, state = jnp.array([[1.0], [2.0]]), turns.init(jnp.zeros(1))
      >>> for _ in range(3):
      ...     update, state = turns.update(gradients, state)
      ...     print(update.tolist())
      [1.0]
      [2.0]
      [1.0]
    """


ENTRY = core.Entry(
    alternating_tasks,
    formula="u = g_i, i = floor(t / n) mod m",
    paper=("M241",),
    example={},
    needs=("stacked",),
    traits=core.Traits(
        temporaries="gradients are combined by a matrix product, whose result is stored",
    ),
)
