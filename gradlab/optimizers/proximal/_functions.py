"""Functions as static fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def function(value: Any) -> Callable[..., Any]:
    """A function, for the static fields that hold one."""
    if not callable(value):
        raise TypeError("expected a function")
    return value
