"""Derivatives of fixed points, around any solver."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradlab.meta import _roots


def custom_fixed_point(
    fixed_point_fn: Callable[..., Any], *, solver: Any = "normal_cg", has_aux: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """X"""
    owner = "custom_fixed_point"
    if not callable(fixed_point_fn):
        raise TypeError(f"{owner}: fixed_point_fn={fixed_point_fn!r} is no function")

    def residual(x: Any, *args: Any, **kwargs: Any) -> Any:
        mapped = fixed_point_fn(x, *args, **kwargs)
        _roots.check_like(owner, x, mapped)
        return jax.tree.map(jnp.subtract, x, mapped)

    linear = _roots.adopted(owner, solver, learning_rate=1.0)
    return functools.partial(_roots.differentiated, owner, residual, linear, has_aux)
