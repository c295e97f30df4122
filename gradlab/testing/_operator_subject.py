"""An operator under test, and what it is tried on."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradlab.core import Entry, Traits
from gradlab.testing._subject import compiled_once

SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "": {"w": (3, 4), "b": (3,), "s": ()},
    "matrices": {"w": (3, 4), "stack": (2, 3, 2)},
    "symmetric": {"w": (3, 3), "stack": (2, 2, 2)},
    "vector": {"x": (5,)},
}
"""The shapes that an operator is tried on, by what it needs."""


@dataclasses.dataclass(frozen=True, eq=False)
class OperatorSubject:
    """An operator under test.

    Attributes:
      function: the operator.
      penalty: as in `Entry.penalty`.
      example: as in `Entry.example`: strengths, or what describes a set.
      traits, needs: as in `Entry`.
    """

    function: Callable[..., Any]
    penalty: Callable[..., Any]
    example: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    traits: Traits = dataclasses.field(default_factory=Traits)
    needs: tuple[str, ...] = ()

    @classmethod
    def of(cls, entry: Entry) -> OperatorSubject:
        if entry.penalty is None:
            raise TypeError(f"the entry {entry.name} has no penalty= for the contract to try")
        return cls(entry.function, entry.penalty, entry.example, entry.traits, entry.needs)

    @property
    def opt(self) -> Any:
        """The operator with its example, as reports show it."""
        return functools.partial(self.function, **self.example)

    @property
    def scales(self) -> bool:
        """Whether it takes a scaling; a projection does not."""
        return "scaling" in inspect.signature(self.function).parameters

    @property
    def bare(self) -> bool:
        """Whether it acts on one array instead of a tree."""
        return "vector" in self.needs

    def tree(self, seed: int = 0, scale: float = 1.0, dtype: Any = jnp.float32) -> Any:
        """Numbers of its kind of tree."""
        draw = np.random.default_rng(seed)
        shapes = SHAPES[self.needs[0] if self.needs else ""]
        found = {name: scale * np.asarray(draw.normal(size=s)) for name, s in shapes.items()}
        if "symmetric" in self.needs:
            found = {name: (x + np.swapaxes(x, -1, -2)) / 2 for name, x in found.items()}
        wide = {name: jnp.asarray(x, dtype) for name, x in found.items()}
        return wide["x"] if self.bare else wide

    def __call__(self, tree: Any, scaling: Any = 1.0, example: Any = None) -> Any:
        arguments = dict(self.example if example is None else example)
        return self.function(tree, **arguments, **({"scaling": scaling} if self.scales else {}))

    @functools.cached_property
    def run(self) -> Callable[..., Any]:
        """The same as a program; many small ones, operation by operation, take longer."""
        return compiled_once(self.__call__)

    def numbers(self) -> list[tuple[str, Any]]:
        """Its strengths that are plain numbers: the argument, and the place in a tuple."""
        if not self.scales:
            return []
        found: list[tuple[str, Any]] = []
        for name, value in self.example.items():
            parts = enumerate(value) if isinstance(value, tuple) else [(None, value)]
            found += [(name, i) for i, part in parts if isinstance(part, float)]
        return found

    def number(self, which: tuple[str, Any]) -> float:
        """One of its numbers."""
        name, i = which
        return self.example[name] if i is None else self.example[name][i]

    def with_number(self, which: tuple[str, Any], value: Any) -> dict[str, Any]:
        """The example with one of its numbers changed."""
        name, i = which
        old = self.example[name]
        return {**self.example, name: value if i is None else (*old[:i], value, *old[i + 1 :])}

    def as_arrays(self, dtype: Any) -> Any:
        """The example with every number an array."""
        return jax.tree.map(lambda x: jnp.asarray(x, dtype), dict(self.example))
