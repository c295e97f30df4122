"""Which problem of a graph depends on which, and through what."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

from gradlab import core


@dataclasses.dataclass(frozen=True)
class Levels:
    """The order of the levels, and what each loss depends on.

    Attributes:
      names: of the problems, from the lowest to the highest.
      depends: for each of them, the others whose variables its loss reads.
      held: those whose variables are constants for the problems above them.
    """

    names: tuple[str, ...]
    depends: tuple[tuple[str, ...], ...]
    held: frozenset[str] = frozenset()

    def checked(self, owner: str) -> Levels:
        """The levels themselves.

        Raises:
          ValueError: there are none, two problems have the same name, one depends on itself or on
            what does not exist, or on a problem above it whose loss never hears of it.
        """
        if not self.names:
            raise ValueError(f"{owner}: problems are none")
        for place, name in enumerate(self.names):
            if name in self.names[:place]:
                raise ValueError(f"{owner}: two problems are called {name!r}")
        for name, others in zip(self.names, self.depends, strict=True):
            for other in others:
                if other == name:
                    raise ValueError(f"{owner}: problem {name!r}: depends names {name!r} itself")
                if other not in self.names:
                    said = core.unknown("problem", other, self.names)
                    raise ValueError(f"{owner}: problem {name!r}: depends: {said}")
            for other in self.upper(name):
                if name not in self.below(other):
                    raise ValueError(
                        f"{owner}: problem {name!r} depends on {other!r}, which stands above it, "
                        f"but nothing that the loss of {other!r} depends on leads to {name!r}: put "
                        f"{other!r} below {name!r}, or name in its depends what it is judged by"
                    )
        return self

    def of(self, name: str) -> tuple[str, ...]:
        """The others whose variables the loss of a problem reads."""
        return self.depends[self.names.index(name)]

    def upper(self, name: str) -> tuple[str, ...]:
        """Those of them that stand above it: its loss takes them as they are."""
        return tuple(other for other in self.of(name) if self.is_above(other, name))

    def lower(self, name: str) -> tuple[str, ...]:
        """Those of them that stand below it: its loss takes their best responses."""
        return tuple(other for other in self.of(name) if self.is_above(name, other))

    @property
    def edges(self) -> dict[str, Mapping[str, tuple[str, ...]]]:
        """From each problem to those that it tells its variables: `"u2l"` down, `"l2u"` up."""
        return {
            "u2l": {n: tuple(m for m in self.names if n in self.upper(m)) for n in self.names},
            "l2u": {n: tuple(m for m in self.names if n in self.lower(m)) for n in self.names},
        }

    def below(self, name: str) -> tuple[str, ...]:
        """All problems below a problem that its loss depends on, directly or not, lowest first."""
        return _reached(self, name)[0]

    def above(self, name: str) -> tuple[str, ...]:
        """All problems above a problem that its variables depend on when they are at their best."""
        return _reached(self, name)[1]

    def moving(self, name: str, moved: tuple[str, ...]) -> tuple[str, ...]:
        """Those below a problem that respond when some variables move, lowest first."""
        found: list[str] = []
        for other in reversed(self.below(name)):
            if other not in self.held and {*moved, *found} & {*self.above(other)}:
                found.append(other)
        return tuple(reversed(found))

    def paths(self, name: str) -> list[tuple[str, ...]]:
        """The ways from the loss of a problem through best responses back to its variables.

        Each begins with the problem itself, whose loss is meant, and goes on with the problem
        whose variables the loss depends on, then with what these respond to, and so on, up to the
        problem itself. The direct dependence is no path.
        """
        moving, found = self.moving(name, (name,)), []

        def extend(path: tuple[str, ...]) -> None:
            for other in self.above(path[-1]):
                if other == name:
                    found.append((*path, other))
                elif other in moving:
                    extend((*path, other))

        for first in self.lower(name):
            if first in moving:
                extend((name, first))
        return found

    def is_above(self, one: str, other: str) -> bool:
        """Whether the one stands above the other."""
        return self.names.index(one) > self.names.index(other)


@functools.cache
def _reached(levels: Levels, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those below and above a problem that its loss depends on, at best responses below it."""
    seen, left = {name}, [name]
    while left:
        for other in levels.of(left.pop()):
            if other in seen:
                continue
            seen.add(other)
            if levels.is_above(name, other) and other not in levels.held:
                left.append(other)
    place = levels.names.index(name)
    return (
        tuple(n for n in levels.names[:place] if n in seen),
        tuple(n for n in levels.names[place + 1 :] if n in seen),
    )
