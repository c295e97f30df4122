"""Projections as proximal operators."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True)
class ProjectionProx:
    """A projection, called as a proximal operator; compared by its projection."""

    projection: Callable[..., Any]

    def __call__(self, tree: Any, hyperparams: Any = None, scaling: Any = 1.0) -> Any:
        del scaling  # a set times a number is the set
        if hyperparams is None:
            return self.projection(tree)
        several = isinstance(hyperparams, tuple)
        return self.projection(tree, *hyperparams if several else (hyperparams,))


def make_prox_from_projection(projection: Callable[..., Any]) -> ProjectionProx:
    r"""A projection is the proximal operator of the function that is zero on its set.

    $$\operatorname{prox}(x) = \arg\min_{y \in C} \tfrac12\lVert x - y\rVert^2$$

    Args:
      projection: from a tree, and whatever describes the set, to the nearest tree in it, as the
        functions of `gl.projections`.

    Returns:
      `prox(tree, hyperparams=None, scaling=1.0)`, which ignores the scaling. `hyperparams` is
      what the projection is called with beside the tree: nothing if it is None, several
      arguments if it is a tuple. Two that are made of one projection are equal.

    Raises:
      TypeError: `projection` is no function.

    References:
      Parikh and Boyd, "Proximal Algorithms", Foundations and Trends in Optimization 1(3), 2014,
      section 1.1.

    Differs:
      jaxopt's hands a tuple on as one argument, as its own projections want it; those of
      `gl.projections` take several.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> prox = gl.prox.make_prox_from_projection(gl.projections.projection_box)
      >>> prox(jnp.array([-2.0, 0.5]), (0.0, 1.0)).tolist()
      [0.0, 0.5]
    """
    if not callable(projection):
        raise TypeError(f"make_prox_from_projection: projection={projection!r} is no function")
    return ProjectionProx(projection)
