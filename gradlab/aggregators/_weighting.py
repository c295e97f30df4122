"""What aggregators have in common: their properties, and weights from a Gramian."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from gradlab import core, linalg
from gradlab.aggregators import _stacked
from gradlab.core import Params, Updates

PROPERTIES = (
    "non-conflicting",
    "linear under scaling",
    "permutation invariant",
    "strongly stationary",
    "idempotent",
    "mean without conflict",
)
"""What an aggregator may promise, for all stacks of gradients.

- non-conflicting: its result has a non-negative inner product with every gradient;
- linear under scaling: it is linear in positive factors of the gradients;
- permutation invariant: the order of the objectives does not matter;
- strongly stationary: it is zero only where some positive combination of the gradients is;
- idempotent: one gradient alone is returned unchanged;
- mean without conflict: it is the mean where no two gradients have a negative inner product.
"""

Rows = Sequence[Sequence[float]]


def denied(stacks: Mapping[str, Rows]) -> Mapping[str, Rows]:
    """Properties that a method lacks, each with gradients for which it fails."""
    return MappingProxyType(dict(stacks))


class Aggregator(core.Rule):
    """Combines a stack of gradients into one.

    Attributes:
      holds: those of `PROPERTIES` that the method has, at the first step and with the
        default arguments.
      fails: those that it has not, each with a stack of gradients for which it fails.
    """

    holds: ClassVar[tuple[str, ...]] = ()
    fails: ClassVar[Mapping[str, Rows]] = denied({})

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, Any]:
        count = _stacked.objectives(self.owner(), updates, params)
        if count is None:
            return updates, state
        return self.aggregate(updates, state, count, **extra)

    def aggregate(
        self, updates: Updates, state: Any, count: int, **extra: Any
    ) -> tuple[Updates, Any]:
        """One gradient from a stack of `count`, and the new state."""
        raise NotImplementedError(f"{type(self).__name__} has to define aggregate")

    def check_count(self, expected: int, count: int) -> None:
        """Refuses another number of objectives than the state was made for."""
        if count != expected:
            raise ValueError(
                f"{self.owner()}: it was made for {expected} objectives, but there are {count}"
            )


class Weighting(Aggregator):
    """An aggregator that needs inner products of gradients and nothing else of them.

    It is written once, as weights from a Gramian; stacks of gradients and the path that
    never forms a Jacobian both use it.
    """

    def weigh(self, gram: jax.Array, state: Any, **extra: Any) -> tuple[jax.Array, Any]:
        """The weight of each gradient, from a Gramian of shape `(k, k)`, and the new state."""
        raise NotImplementedError(f"{type(self).__name__} has to define weigh")

    def aggregate(
        self, updates: Updates, state: Any, count: int, **extra: Any
    ) -> tuple[Updates, Any]:
        weights, state = self.weigh(_stacked.gramian(updates), state, **extra)
        return _stacked.combine(weights, updates), state


def preferences(rule: Any, count: int, default: float) -> jax.Array:
    """The rule's preference vector; `default` for each objective where there is none."""
    given = rule.pref_vector
    if given is None:
        return jnp.full(count, default)
    given = jnp.asarray(given)
    if given.shape != (count,):
        raise ValueError(
            f"{rule.owner()}: pref_vector has shape {given.shape} for {count} objectives"
        )
    return given


class SolverState(NamedTuple):
    """State of a method that solves a program at every step.

    Attributes:
      unsolved: how many steps so far ended at the cap of iterations, their optimality
        conditions not met to the tolerance of the dtype.
    """

    unsolved: jax.Array

    @classmethod
    def new(cls) -> SolverState:
        return cls(core.step_count())


def count_unsolved(unsolved: jax.Array, residual: jax.Array) -> jax.Array:
    """The count with this step, whose optimality conditions are met up to `residual`."""
    solved = residual <= linalg.qp_tolerance(residual.dtype)
    return unsolved + jnp.where(solved, 0, 1).astype(unsolved.dtype)


def threshold(value: Any) -> float:
    """A number in [0, inf), for the static fields that decide a branch."""
    if isinstance(value, bool) or not 0 <= value < float("inf"):
        raise ValueError("expected a number in [0, inf)")
    return float(value)
