"""Fields of a rule: hyperparameters with a range, and static structure.

A *hyperparameter* is a leaf: a real number whose value may change without a new trace.
A *static* field sets a shape, a trip count, a branch or the structure. It is part of the
tree definition and so has to be hashable; `freeze` makes it so.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.core import Tracer


@dataclasses.dataclass(frozen=True)
class Interval:
    """A range of real numbers, written as in mathematics: `[0, 1)`."""

    low: float
    high: float
    low_open: bool
    high_open: bool

    @classmethod
    def parse(cls, text: str) -> Interval:
        match = re.fullmatch(r"([\[(])\s*([^,\s]+)\s*,\s*([^,\s]+)\s*([\])])", text)
        if match is None:
            raise ValueError(f"interval {text!r} is not of the form '[low, high)'")
        left, low, high, right = match.groups()
        return cls(float(low), float(high), left == "(", right == ")")

    def contains(self, values: np.ndarray) -> bool:
        above = values > self.low if self.low_open else values >= self.low
        below = values < self.high if self.high_open else values <= self.high
        return bool(np.all(above & below))

    def __str__(self) -> str:
        left, right = "(" if self.low_open else "[", ")" if self.high_open else "]"
        return f"{left}{self.low:g}, {self.high:g}{right}"


ANY_REAL = Interval(-math.inf, math.inf, True, True)


def hyper(interval: str = "(-inf, inf)", *, default: Any = dataclasses.MISSING) -> Any:
    """Declares a hyperparameter of a rule, a leaf with a range.

    Args:
      interval: the values that make sense, such as `"[0, 1)"`.
      default: the value for rules that are built without naming it.

    Returns:
      A dataclass field.
    """
    metadata = {"interval": Interval.parse(interval)}
    return dataclasses.field(default=default, metadata=metadata)


def part(*, default: Any = dataclasses.MISSING, convert: Callable[[Any], Any]) -> Any:
    """Declares a field that holds data with hyperparameters of its own, or a tuple of such.

    Args:
      default: the value for data that is built without naming it.
      convert: brings what a user gives into that form, or raises `TypeError` or `ValueError`.

    Returns:
      A dataclass field.
    """
    return dataclasses.field(default=default, metadata={"convert": convert})


def static(*, default: Any = dataclasses.MISSING, convert: Callable[[Any], Any] | None = None):
    """Declares a field that decides structure: part of the tree definition, never a leaf.

    Args:
      default: the value for rules that are built without naming it.
      convert: brings what a user gives into a hashable, canonical form. By default
        `freeze`.

    Returns:
      A dataclass field.
    """
    metadata = {"static": True, "convert": convert or freeze}
    field: Any = dataclasses.field(default=default, metadata=metadata)
    return field


def is_static(field: dataclasses.Field) -> bool:
    return field.metadata.get("static", False)


def interval_of(field: dataclasses.Field) -> Interval:
    return field.metadata.get("interval", ANY_REAL)


@dataclasses.dataclass(frozen=True)
class Frozen:
    """A tree (dict, list, array …) in a hashable form; `thaw` gives it back."""

    leaves: tuple
    treedef: Any

    def thaw(self) -> Any:
        return jax.tree.unflatten(self.treedef, [thaw(leaf) for leaf in self.leaves])

    def __repr__(self) -> str:
        return repr(self.thaw())


@dataclasses.dataclass(frozen=True)
class FrozenArray:
    """An array in a hashable form."""

    data: bytes
    dtype: str
    shape: tuple[int, ...]

    def thaw(self) -> np.ndarray:
        return np.frombuffer(self.data, self.dtype).reshape(self.shape)

    def __repr__(self) -> str:
        return f"np.array({self.thaw().tolist()!r}, {self.dtype!r})"


def freeze(value: Any) -> Any:
    """Brings a static value into a hashable form that compares by value."""
    if isinstance(value, np.ndarray | jax.Array):
        array = np.asarray(value)
        return FrozenArray(array.tobytes(), array.dtype.str, array.shape)
    try:
        hash(value)
    except TypeError:
        leaves, treedef = jax.tree.flatten(value, is_leaf=lambda x: x is None)
        return Frozen(tuple(freeze(leaf) for leaf in leaves), treedef)
    return value


def thaw(value: Any) -> Any:
    """The inverse of `freeze`."""
    return value.thaw() if isinstance(value, Frozen | FrozenArray) else value


def dtype_or_none(value: Any) -> np.dtype | None:
    """A dtype in canonical form, for the static fields that hold one."""
    return None if value is None else np.dtype(jax.dtypes.canonicalize_dtype(value))


def flag(value: Any) -> bool:
    """A bool, for the static fields that choose a branch."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"expected True or False, got {value!r}")
    return bool(value)


def count_at_least(low: int) -> Callable[[Any], int]:
    """An integer of at least `low`, for the static fields that set a size or trip count."""

    def convert(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise TypeError(f"expected an integer, got {value!r}")
        if value < low:
            raise ValueError(f"expected an integer of at least {low}, got {value}")
        return int(value)

    return convert


def increasing_steps(value: Any) -> tuple[int, ...]:
    """Step numbers from 1 on, each larger than the one before it."""
    steps = tuple(map(count_at_least(1), value))
    if list(steps) != sorted(set(steps)):
        raise ValueError(f"expected steps that increase, got {value}")
    return steps


def integer(value: Any) -> int:
    """An integer of either sign, for the static fields that name an axis."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"expected an integer, got {value!r}")
    return int(value)


def one_of(*allowed: str) -> Callable[[Any], str]:
    """One of a few words, for the static fields that name a variant."""

    def convert(value: Any) -> str:
        if value not in allowed:
            raise ValueError(f"expected one of {', '.join(map(repr, allowed))}, got {value!r}")
        return value

    return convert


def optional(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """None, or what another conversion takes."""
    return lambda value: None if value is None else convert(value)


def is_tracer(value: Any) -> bool:
    return isinstance(value, Tracer)


def number(owner: str, name: str, value: Any, interval: Interval) -> Any:
    """Coerces what a user gives for a hyperparameter, and checks its range.

    Args:
      owner: the public function, for messages.
      name: the argument.
      value: any real number, 0-d array, tracer, or array of stacked values.
      interval: the range that every value has to lie in.

    Returns:
      A float; tracers and arrays with an axis are returned as they are.

    Raises:
      TypeError: not a real number.
      ValueError: NaN, or outside the interval.
    """
    if is_tracer(value):
        return value
    if isinstance(value, bool | np.bool_) or getattr(value, "dtype", None) == np.bool_:
        raise TypeError(f"{owner}: {name}={value!r} is a bool, expected a real number")
    try:
        array = np.asarray(value)
        real = array.astype(np.float64, casting="same_kind")
    except (TypeError, ValueError) as error:
        raise TypeError(f"{owner}: {name}={value!r} is not a real number") from error
    if np.isnan(real).any():
        raise ValueError(f"{owner}: {name}={value!r} is NaN")
    if not interval.contains(real):
        raise ValueError(f"{owner}: {name}={_shown(real)} is outside {interval}")
    return float(real) if real.ndim == 0 else jax.numpy.asarray(value, float)


def _shown(real: np.ndarray) -> str:
    return f"{float(real)!r}" if real.ndim == 0 else np.array2string(real, threshold=6)
