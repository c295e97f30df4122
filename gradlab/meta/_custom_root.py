"""Derivatives of the solutions of optimality conditions, around any solver."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from gradlab.meta import _roots


def custom_root(
    optimality_fn: Callable[..., Any], *, solver: Any = "normal_cg", has_aux: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """X"""
    owner = "custom_root"
    if not callable(optimality_fn):
        raise TypeError(f"{owner}: optimality_fn={optimality_fn!r} is no function")
    linear = _roots.adopted(owner, solver)
    return functools.partial(_roots.differentiated, owner, optimality_fn, linear, has_aux)
