"""What is done with which arrays of a state, said by the names of its fields."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax

from gradlab import core
from gradlab.core import ParameterPaths, Params


@dataclasses.dataclass(frozen=True)
class StatePolicy:
    """A choice for each field of a state.

    Attributes:
      by_field: the fields that are named, with their choices.
      otherwise: the choice for all others.
    """

    by_field: tuple[tuple[str, str | None], ...]
    otherwise: str | None

    @classmethod
    def of(cls, value: Any, convert: Callable[[Any], str]) -> StatePolicy:
        """What a user says: one choice for all fields, or a mapping; None leaves as it is."""
        if isinstance(value, cls):
            return value
        choice = core.optional(convert)
        if not isinstance(value, Mapping):
            return cls((), choice(value))
        return cls(tuple(sorted((name, choice(x)) for name, x in value.items())), None)

    def choice(self, field: str) -> str | None:
        """The choice for a field; None leaves it as it is."""
        return dict(self.by_field).get(field, self.otherwise)

    def check(self, owner: str, argument: str, state: Any, params: Params) -> None:
        """Refuses names that no field of a state has, unless it is that of no parameters.

        Raises:
          ValueError: there is no such field; the message names the nearest.
        """
        known = sorted(ParameterPaths(params).fields(state))
        for name, _ in self.by_field:
            if jax.tree.leaves(params) and name not in known:
                what = core.unknown("field of the inner state", name, known)
                raise ValueError(f"{owner}: {argument}={self!r}: {what}")

    def __repr__(self) -> str:
        return repr(dict(self.by_field) if self.by_field else self.otherwise)
