"""Functions of trees that are sums over their entries, as the contract evaluates them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def summed(function: Callable[..., Any]) -> Callable[..., Any]:
    """The sum of `function(array, *arguments)` over all arrays and entries of a tree."""

    def total(tree: Any, *args: Any, **kwargs: Any) -> Any:
        parts = [jnp.sum(function(x, *args, **kwargs)) for x in jax.tree.leaves(tree)]
        return sum(parts, jnp.zeros([]))

    return total
