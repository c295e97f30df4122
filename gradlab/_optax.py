"""The part of optax's namespace that gradlab passes on as it is."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import optax

SUBMODULES = (
    "assignment",
    "experimental",
    "losses",
    "microbatching",
    "perturbations",
    "projections",
    "second_order",
    "tree",
    "tree_utils",
)
"""Public submodules of optax for which gradlab has no room of its own."""


def alias_submodules(package: str) -> None:
    """Makes `import gradlab.tree` and `from gradlab.tree import …` work."""
    for name in SUBMODULES:
        module = importlib.import_module(f"optax.{name}")
        sys.modules.setdefault(f"{package}.{name}", module)


def late_attribute(name: str) -> Any:
    """An attribute that optax resolves on access.

    Raises:
      AttributeError: optax has none of this name either.
    """
    try:
        return getattr(optax, name)
    except AttributeError:
        raise AttributeError(f"module 'gradlab' has no attribute {name!r}") from None
