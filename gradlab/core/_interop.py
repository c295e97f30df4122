"""What other libraries have to be told about a pytree that is also a tuple."""

from __future__ import annotations

import functools
import sys
from types import ModuleType
from typing import Any

import jax

from gradlab.core._data import path_name


def register_with_flax(transform_type: type) -> None:
    """Tells flax.serialization, if it is loaded, to store hyperparameters by path."""
    serialization = sys.modules.get("flax.serialization")
    if serialization is not None:
        _register(serialization, transform_type)


@functools.cache
def _register(serialization: ModuleType, transform_type: type) -> None:
    serialization.register_serialization_state(
        transform_type, hyperparameters_by_path, restore_by_path
    )


def hyperparameters_by_path(opt: Any) -> dict[str, Any]:
    """Path to value, as a checkpoint holds them."""
    return {path_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(opt)}


def restore_by_path(opt: Any, values: dict[str, Any]) -> Any:
    """An optimizer of the structure of `opt` with stored hyperparameters.

    Raises:
      ValueError: the paths differ; the message names them.
    """
    expected = hyperparameters_by_path(opt)
    if set(expected) != set(values):
        lost = ", ".join(sorted(set(expected) ^ set(values)))
        raise ValueError(f"stored hyperparameters do not fit the optimizer: they differ in {lost}")
    return jax.tree.unflatten(jax.tree.structure(opt), [values[path] for path in expected])
