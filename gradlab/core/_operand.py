"""What operators on trees act on: arrays in a wide dtype, and numbers that go with them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import keystr

from gradlab.core._fields import Interval, number
from gradlab.core._numerics import global_norm
from gradlab.core._tree import compute_dtype, real_dtype

NOT_NEGATIVE = "[0, inf)"


@dataclasses.dataclass(frozen=True)
class Operand:
    """A tree of numbers under an operator such as a proximal one.

    Attributes:
      owner: the public function, for messages.
      arrays: its arrays, in float32 or wider.
      paths: where they are.
      dtypes: what they were.
      treedef: the structure, with None where there is nothing.
    """

    owner: str
    arrays: list[jax.Array]
    paths: list[str]
    dtypes: list[Any]
    treedef: Any

    @classmethod
    def of(cls, owner: str, tree: Any, *, real: bool = False, ndim: int = 0) -> Operand:
        """The arrays of a tree.

        Args:
          owner: the public function, for messages.
          tree: arrays of real or complex numbers; None leaves stand for nothing.
          real: whether the operator has no meaning for complex numbers.
          ndim: how many axes an array has to have.

        Raises:
          TypeError: an array of integers or bools, or of complex numbers where `real`.
          ValueError: an array with too few axes. Messages name the path.
        """
        leaves, treedef = jax.tree_util.tree_flatten_with_path(tree)
        paths = [keystr(path) or "the root" for path, _ in leaves]
        arrays = [jnp.asarray(x) for _, x in leaves]
        for path, x in zip(paths, arrays, strict=True):
            if not jnp.issubdtype(x.dtype, jnp.inexact):
                raise TypeError(
                    f"{owner}: the array at {path} is of {x.dtype}, not of real or complex numbers"
                )
            if real and jnp.iscomplexobj(x):
                raise TypeError(f"{owner}: not defined for complex numbers, as those at {path}")
            if x.ndim < ndim:
                raise ValueError(
                    f"{owner}: the array at {path} has shape {x.shape}, fewer than {ndim} axes"
                )
        wide = [x.astype(compute_dtype(x)) for x in arrays]
        return cls(owner, wide, paths, [x.dtype for x in arrays], treedef)

    def numbers(
        self, name: str, value: Any, interval: str = NOT_NEGATIVE, *, inner: int = 0
    ) -> list[Any]:
        """One number, or array of them, for each array.

        Args:
          name: the argument, for messages.
          value: a number for all; or a tree like the operand, or a prefix of one, whose
            leaves broadcast to the arrays. None: one.
          interval: the range of each.
          inner: how many last axes of an array share a number.

        Raises:
          TypeError: no real numbers.
          ValueError: outside the range, another structure, or shapes that do not fit.
        """
        checked = jax.tree.map(lambda x: self._number(name, x, interval), _or_one(value))
        places = self.treedef.unflatten(range(len(self.arrays)))
        try:
            spread = jax.tree.leaves(jax.tree.broadcast(checked, places))
        except ValueError:
            raise ValueError(
                f"{self.owner}: {name} is a tree of other structure than the first argument: "
                f"{jax.tree.structure(value)}, not {self.treedef}"
            ) from None
        for x, s, path in zip(self.arrays, spread, self.paths, strict=True):
            wanted = x.shape[: x.ndim - inner]
            if not _fits(np.shape(s), wanted):
                raise ValueError(
                    f"{self.owner}: {name} of shape {np.shape(s)} does not broadcast to "
                    f"{wanted}, as the array at {path} needs it"
                )
        return [_cast(s, x.dtype) for x, s in zip(self.arrays, spread, strict=True)]

    def strengths(self, name: str, value: Any, scaling: Any, *, inner: int = 0) -> list[Any]:
        """The numbers of `value`, each times the scaling, a number that is not negative."""
        scale = self._number("scaling", _or_one(scaling), NOT_NEGATIVE)
        found = zip(self.arrays, self.numbers(name, value, inner=inner), strict=True)
        return [_cast(scale, x.dtype) * s for x, s in found]

    def pair(self, name: str, value: Any, intervals: tuple[str, str]) -> list[list[Any]]:
        """Two numbers for each array, given as a pair of what `numbers` takes.

        Raises:
          TypeError: no pair, or no real numbers.
          ValueError: as of `numbers`; messages name the place in the pair.
        """
        if not isinstance(value, tuple | list) or len(value) != 2:
            raise TypeError(f"{self.owner}: {name}={value!r} is no pair")
        return [
            self.numbers(f"{name}[{i}]", part, interval)
            for i, (part, interval) in enumerate(zip(value, intervals, strict=True))
        ]

    def scaling(self, value: Any) -> list[Any]:
        """The scaling for each array."""
        return self.strengths("scaling", 1.0, value)

    def strength(self, name: str, value: Any, scaling: Any = 1.0, interval: str = NOT_NEGATIVE):
        """One number for the whole tree, times the scaling.

        Raises:
          TypeError: no real number.
          ValueError: outside the range, or an array with axes.
        """
        found = self._number(name, _or_one(value), interval)
        scale = self._number("scaling", _or_one(scaling), NOT_NEGATIVE)
        if np.shape(found):
            raise ValueError(
                f"{self.owner}: {name} is one number for the whole tree, not of shape "
                f"{np.shape(found)}"
            )
        dtype = compute_dtype(*self.arrays) if self.arrays else jnp.float32
        return _cast(scale, dtype) * _cast(found, dtype)

    def norm(self) -> jax.Array:
        """The Euclidean norm of all arrays together."""
        return global_norm(self.arrays)

    def map(self, formula: Callable[..., jax.Array], *numbers: list[Any]) -> Any:
        """The tree of what a formula makes of each array and the numbers that go with it."""
        rows = zip(self.arrays, *numbers, strict=True)
        new = [formula(*row) for row in rows]
        stored = [x.astype(dtype) for x, dtype in zip(new, self.dtypes, strict=True)]
        return self.treedef.unflatten(stored)

    def _number(self, name: str, value: Any, interval: str) -> Any:
        return number(self.owner, name, value, Interval.parse(interval))


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, wanted) == wanted
    except ValueError:
        return False


def _or_one(value: Any) -> Any:
    return 1.0 if value is None else value


def _cast(value: Any, dtype: Any) -> Any:
    """A number of the array's precision; a plain one stays plain."""
    return value if isinstance(value, float) else jnp.asarray(value, real_dtype(dtype))
