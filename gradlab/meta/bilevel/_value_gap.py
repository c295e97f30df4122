"""The first-order estimate that needs two inner solutions: the inner one, and a penalised one.

Both `f2sa` and `penalty_bilevel` follow gradients of f and g at the penalised solution y, and of
g at the inner solution z: as they are, or recursive averages of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import Scalar, hyper, static
from gradlab.meta.bilevel._calculus import combine, grad_inner, grad_outer, repeat, zeros_like
from gradlab.meta.bilevel._method import BilevelMethod
from gradlab.meta.bilevel._problem import Batches, BilevelProblem


class Recursion(NamedTuple):
    """What recursive averages know of the step before.

    Attributes:
      previous: the variables `x`, `y` and `z` before that step.
      inner: averages of the gradients in the inner variables: of g at z, of f and g at y.
      outer: averages of the gradients in the outer variables: of f and g at y, of g at z.
    """

    previous: tuple[Any, Any, Any]
    inner: tuple[Any, Any, Any]
    outer: tuple[Any, Any, Any]


class ValueGapMethod(BilevelMethod):
    """What has inner steps and may have recursive averages, but then takes one inner step."""

    b1: Scalar | None = hyper("[0, 1)")
    inner_steps: int = static(convert=core.count_at_least(1))

    def present(self) -> Any:
        if self.b1 is not None and self.inner_steps != 1:
            raise ValueError(
                f"{self.owner()}: inner_steps={self.inner_steps} is outside [1, 1], because b1 "
                "is given: recursive averages know one inner step"
            )
        return self


def start_recursion(x: Any, y: Any) -> Recursion:
    """Before the first step, which replaces all of it."""
    # Arrays of their own: a donated state must not hold one buffer twice.
    return Recursion(zeros_like((x, y, y)), zeros_like((y, y, y)), zeros_like((x, x, x)))


def track(
    problem: BilevelProblem,
    state: Any,
    batches: Batches,
    kept: Any,
    steps: int,
    move: Callable[[Any, Any, tuple], tuple[Any, Any]],
) -> tuple[Any, Any, tuple]:
    """The inner steps.

    Args:
      problem: the bilevel problem.
      state: a state with `x`, `y`, `z`, `count` and a `recursion`, which may be None.
      batches: a batch for each inner step.
      kept: the share of the old averages that is kept.
      steps: how many; with a recursion, one.
      move: from `y`, `z` and the three gradients to the next `y` and `z`.

    Returns:
      `y`, `z`, and the gradients of the last step.
    """
    x = state.x

    def gradients(batches: Batches, x: Any, y: Any, z: Any) -> tuple:
        return (
            grad_inner(problem.inner, x, z, batches.inner),
            grad_inner(problem.outer, x, y, batches.outer),
            grad_inner(problem.inner, x, y, batches.inner),
        )

    if state.recursion is not None:
        first = batches.at(0)
        new = gradients(first, x, state.y, state.z)
        old = gradients(first, *state.recursion.previous)
        new = _corrected(state, kept, new, state.recursion.inner, old)
        return *move(state.y, state.z, new), new

    def body(t: Any, carry: tuple) -> tuple:
        y, z = carry
        return move(y, z, gradients(batches.at(t), x, y, z))

    return *repeat(steps, body, (state.y, state.z)), ()


def outer_gradients(
    problem: BilevelProblem, state: Any, batches: Batches, kept: Any, y: Any, z: Any
) -> tuple:
    """Gradients in the outer variables, at the new inner ones: of f and g at y, of g at z."""

    def gradients(x: Any, y: Any, z: Any) -> tuple:
        return (
            grad_outer(problem.outer, x, y, batches.outer),
            grad_outer(problem.inner, x, y, batches.inner),
            grad_outer(problem.inner, x, z, batches.inner),
        )

    new = gradients(state.x, y, z)
    if state.recursion is None:
        return new
    old = gradients(state.recursion.previous[0], state.y, state.z)
    return _corrected(state, kept, new, state.recursion.outer, old)


def _corrected(state: Any, kept: Any, new: tuple, averages: tuple, old: tuple) -> tuple:
    """New gradients, each plus the kept share of its average's error at the old point."""
    kept = jnp.where(state.count == 0, 0.0, kept)
    return jax.tree.map(
        lambda g, h, o: combine((1.0, g), (kept, h), (-kept, o)), new, averages, old
    )


def remember(state: Any, inner: tuple, outer: tuple) -> Recursion | None:
    """The recursion after a step."""
    if state.recursion is None:
        return None
    return Recursion((state.x, state.y, state.z), inner, outer)
