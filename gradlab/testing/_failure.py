"""How a broken promise is said."""

from __future__ import annotations

from typing import Any


class BrokenPromise(AssertionError):
    """One promise of the contract does not hold; the message says which and how."""


def require(condition: Any, message: str) -> None:
    """Raises `BrokenPromise` unless the condition holds."""
    if not condition:
        raise BrokenPromise(message)
