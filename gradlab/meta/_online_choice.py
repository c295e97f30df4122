"""Which hyperparameters are tuned, and in which coordinates."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.tree_util import keystr

from gradlab import core
from gradlab.core import Interval, Transform
from gradlab.meta._online_coordinates import Coordinate

Pattern = str | Callable[[str, Any], bool]

OWNER = "online_hypergradient"
ANY_REAL = Interval.parse("(-inf, inf)")


@dataclasses.dataclass(frozen=True)
class Choice:
    """A tuned hyperparameter.

    Attributes:
      path: in the optimizer, or below `hyper`.
      coordinate: what it moves in.
    """

    path: str
    coordinate: Coordinate


def hyper_leaves(opt: Any, hyper: Any) -> dict[str, Any]:
    """Every hyperparameter by path, in the order of the leaves of `(opt, hyper)`."""
    found = core.hyperparameters(opt)
    for keys, leaf in jax.tree_util.tree_leaves_with_path(hyper):
        names = (keystr((key,), simple=True) for key in keys)
        found["/".join(("hyper", *names))] = leaf
    return found


def chosen(
    opt: Any,
    hyper: Any,
    tuned: Pattern | Sequence[Pattern],
    ranges: Mapping[str, str | Interval],
    linear: Pattern | Sequence[Pattern],
) -> tuple[Choice, ...]:
    """The tuned hyperparameters, checked.

    Raises:
      ValueError: a pattern matches nothing, or a value is not inside of its range.
      TypeError: a value is no floating number.
    """
    leaves = hyper_leaves(opt, hyper)
    paths = _matching("tuned", tuned, leaves)
    if not paths:
        raise ValueError(f"{OWNER}: tuned={tuned!r} names no hyperparameter")
    intervals = dict(zip(leaves, _intervals((opt, hyper)), strict=True))
    for pattern, interval in ranges.items():
        interval = Interval.parse(interval) if isinstance(interval, str) else interval
        intervals |= dict.fromkeys(_matching("ranges", pattern, leaves), interval)
    in_value = _matching("linear", linear, {path: leaves[path] for path in paths})
    found = tuple(Choice(p, Coordinate(intervals[p], p in in_value)) for p in paths)
    for one in found:
        _check(one, leaves[one.path])
    return found


def _matching(
    argument: str, patterns: Pattern | Sequence[Pattern], leaves: Mapping[str, Any]
) -> list[str]:
    """The paths that any of the patterns matches; each of them has to match one."""
    rows = [patterns] if isinstance(patterns, str) or callable(patterns) else list(patterns)
    found: set[str] = set()
    for pattern in rows:
        matched = {path for path, leaf in leaves.items() if _matches(pattern, path, leaf)}
        if not matched:
            what = f"pattern {pattern!r}" if isinstance(pattern, str) else f"function {pattern!r}"
            known = ", ".join(leaves) or "none"
            raise ValueError(
                f"{OWNER}: {argument}: the {what} matches no hyperparameter; they are {known}"
            )
        found |= matched
    return [path for path in leaves if path in found]


def _matches(pattern: Pattern, path: str, leaf: Any) -> bool:
    if not isinstance(pattern, str):
        return bool(pattern(path, leaf))
    last = path.replace("/", ".").rsplit(".", 1)[-1]
    # Brackets are positions in a path, not sets of letters.
    return pattern in (path, last) or fnmatch.fnmatchcase(path, pattern.replace("[", "[[]"))


def _intervals(tree: Any) -> list[Interval]:
    """The declared range of each leaf; any real number where nothing declares one."""

    def is_data(x: Any) -> bool:
        return isinstance(x, core.Data | Transform)

    found: list[Interval] = []
    for node in jax.tree.leaves(tree, is_leaf=is_data):
        found += core.intervals(node).values() if is_data(node) else [ANY_REAL]
    return found


def _check(one: Choice, value: Any) -> None:
    interval, kind = one.coordinate.interval, one.coordinate.kind
    if not jnp.issubdtype(jnp.result_type(value), jnp.floating):
        raise TypeError(f"{OWNER}: {one.path} is {value!r}, no floating number")
    if isinstance(value, Tracer):
        return
    numbers = np.asarray(value, np.float64)
    if not interval.contains(numbers) or np.isnan(numbers).any():
        raise ValueError(f"{OWNER}: {one.path}={value!r} is outside {interval}")
    if kind != "linear" and np.isin(numbers, [interval.low, interval.high]).any():
        raise ValueError(
            f"{OWNER}: {one.path}={value!r} is an end of {interval}, which its {kind} coordinate "
            f"cannot reach: start inside, or move the value itself with linear={one.path!r}"
        )
