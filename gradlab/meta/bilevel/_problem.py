"""What a bilevel problem is, and the batches that its two objectives are evaluated on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class BilevelProblem:
    r"""Two objectives, of which the outer one is taken where the inner one is least.

    $$\min_x f(x, y^*(x)) \quad \text{with} \quad y^*(x) \in \arg\min_y g(x, y)$$

    It has no leaves, so that a compiled program takes it as an ordinary argument. Data belong
    into the batches.

    Args:
      outer: `outer(x, y, batch)` is the outer objective, a scalar.
      inner: `inner(x, y, batch)` is the inner objective, a scalar.
      constraints: `constraints(x, y)` gives arrays of numbers that the inner problem keeps at
        or below zero. Only `lv_hba` takes constraints; the others refuse them.
      project_outer: brings the outer variables to the nearest point of their set.
      project_inner: does the same for the inner variables.
      project: `project(x, y)` brings both together to the nearest pair of their joint set, for
        `lv_hba`, whose steps keep constraints that couple them. The two separate projections by
        default.

    Raises:
      TypeError: one of these is not a function.

    Example:
      >>> import gradlab as gl
      >>> problem = gl.meta.BilevelProblem(
      ...     outer=lambda x, y, batch: (y - 1.0) ** 2, inner=lambda x, y, batch: (y - x) ** 2
      ... )
    """

    outer: Callable[[Any, Any, Any], Any]
    inner: Callable[[Any, Any, Any], Any]
    constraints: Callable[[Any, Any], Any] | None = None
    project_outer: Callable[[Any], Any] | None = None
    project_inner: Callable[[Any], Any] | None = None
    project: Callable[[Any, Any], tuple[Any, Any]] | None = None

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            optional = field.name not in ("outer", "inner")
            if not callable(value) and not (optional and value is None):
                raise TypeError(f"BilevelProblem: {field.name}={value!r} is not a function")

    def into_outer(self, x: Any) -> Any:
        """The nearest outer variables that are allowed."""
        return x if self.project_outer is None else self.project_outer(x)

    def into_inner(self, y: Any) -> Any:
        """The nearest inner variables that are allowed."""
        return y if self.project_inner is None else self.project_inner(y)

    def into_both(self, x: Any, y: Any) -> tuple[Any, Any]:
        """The nearest pair that is allowed."""
        if self.project is not None:
            return self.project(x, y)
        return self.into_outer(x), self.into_inner(y)


class PerStep(NamedTuple):
    """A batch for each inner step, and one more for the outer step.

    Attributes:
      batches: a tree whose leaves have a leading axis, one longer than the inner steps.
    """

    batches: Any


class Batches(NamedTuple):
    """What the two objectives are evaluated on in one step.

    Attributes:
      outer: the batch of the outer objective.
      inner: the batch of the inner objective.
    """

    outer: Any = None
    inner: Any = None

    def at(self, step: Any) -> Batches:
        """The batches of one inner step; the last one is the outer step's."""
        return Batches(*(_pick(batch, step) for batch in self))


def _pick(batch: Any, step: Any) -> Any:
    if isinstance(batch, PerStep):
        return jax.tree.map(lambda leaf: jnp.asarray(leaf)[step], batch.batches)
    return batch


def adopt_batches(owner: str, batches: Any, steps: int) -> Batches:
    """Batches as a pair, checked.

    Raises:
      TypeError: they are no pair.
      ValueError: a `PerStep` batch has not one batch for each inner step and one more.
    """
    if batches is None:
        return Batches()
    if not isinstance(batches, tuple) or len(batches) != 2:
        raise TypeError(f"{owner}: batches={batches!r} is no pair of an outer and an inner batch")
    for name, batch in zip(Batches._fields, batches, strict=True):
        if isinstance(batch, PerStep):
            for path, leaf in jax.tree_util.tree_leaves_with_path(batch.batches):
                found = np.shape(leaf)[0] if np.ndim(leaf) else 0
                if found != steps + 1:
                    raise ValueError(
                        f"{owner}: batches.{name}{jax.tree_util.keystr(path)} has a leading axis "
                        f"of {found}, expected {steps + 1}: the {steps} inner steps, and one more"
                    )
    return Batches(*batches)
