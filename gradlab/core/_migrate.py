"""A state made by one optimizer carried over to another that differs a little."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import keystr

Path = tuple[str, ...]
Fields = frozenset[str]


@dataclasses.dataclass
class Record:
    """One named tuple of a state: the arrays that are its own, not those of records in it.

    Attributes:
      path: where it is.
      labels: those parts of the path that a user chose, such as the name of a group.
      kind: the name of its type; empty where that is lost, as in a restored dict.
      leaves: array by path below the record.
    """

    path: Path
    labels: Path
    kind: str
    leaves: dict[Path, Any] = dataclasses.field(default_factory=dict)

    @property
    def signature(self) -> tuple:
        """What has to be equal for one record to take the place of another."""
        return self.labels, tuple(sorted((path, np.shape(x)) for path, x in self.leaves.items()))

    @property
    def counts_only(self) -> bool:
        """Whether there is nothing in it but numbers of steps."""
        return all(_is_count(path, x) for path, x in self.leaves.items())

    def names(self) -> list[str]:
        return ["/".join((*self.path, *path)) for path in self.leaves]


def migrate_state(
    opt: Any,
    params: Any,
    old_state: Any,
    *,
    fresh: Sequence[str] = (),
    dropped: Sequence[str] = (),
    count: int | None = None,
) -> Any:
    """Carries a state over to an optimizer that differs from the one that made it.

    For a link that was added or taken away, a constant that became a schedule, a wrapper put
    around, and for states of earlier releases. Parts are matched by the names and shapes of
    their arrays, by their type where it is known, by the labels of groups, and among equal
    ones by their order. A step count that is new takes the number of steps that the old state
    agrees on. Nothing else is guessed: what has no place is named.

    Args:
      opt: the transform to continue with.
      params: the parameters.
      old_state: the state so far, with its types or as nested dicts and lists, which is what
        a checkpoint gives back that is restored without a template. Its arrays are concrete.
      fresh: paths of parts that shall start anew, `"1/trace/*"`, as messages show them; `*`
        stands for anything.
      dropped: paths in the old state of what shall be lost.
      count: number of steps, for new counts, where the old state has none.

    Returns:
      A state of `opt`, in the dtypes of its `init`.

    Raises:
      ValueError: parts of either state without a counterpart; the message names all of them.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> params = {"w": jnp.ones(2)}
      >>> state = gl.adam(0.1).init(params)
      >>> for _ in range(3):
      ...     _, state = gl.adam(0.1).update(params, state, params)
      >>> opt = gl.chain(gl.clip_by_global_norm(1.0), gl.adam(gl.linear_schedule(0.1, 0.0, 9)))
      >>> state = gl.migrate_state(opt, params, state)
      >>> round(float(gl.current(opt, state)["links[1].learning_rate"]), 6)
      0.066667
    """
    template = opt.init(params)
    known: set[Fields] = set()
    new = _records(template, known, typed=True)
    old = _records(old_state, known)
    steps = _steps(old) if count is None else count
    found, homeless = _pairs(old, new), []
    for index, record in enumerate(new):
        if index in found:
            record.leaves = old[found[index]].leaves
        elif record.counts_only and steps is not None:
            record.leaves = dict.fromkeys(record.leaves, steps)
        else:
            homeless += _unless(record.names(), fresh)
    taken = set(found.values())
    lost = [
        name
        for index, record in enumerate(old)
        if index not in taken and not (record.counts_only and _steps([record]) == steps)
        for name in _unless(record.names(), dropped)
    ]
    _complain(homeless, lost)
    values = {(*r.path, *path): x for r in new for path, x in r.leaves.items()}
    return jax.tree_util.tree_map_with_path(
        lambda path, x: _stored(values[_parts(path)], x), template
    )


def _records(tree: Any, known: set[Fields], typed: bool = False) -> list[Record]:
    """The records of a state, those without arrays left out.

    Args:
      tree: the state.
      known: the fields of each type of record, by which a dict is recognised as one.
      typed: whether `known` is to be filled from this tree.
    """
    found: list[Record] = []

    def begin(node: dict[str, Any], path: Path, labels: Path, kind: str) -> None:
        record = Record(path, labels, kind)
        found.append(record)
        for name, child in node.items():
            walk(child, (*path, name), labels, record)

    def walk(node: Any, path: Path, labels: Path, record: Record) -> None:
        fields = getattr(node, "_fields", None)
        if isinstance(node, tuple) and fields is not None:
            known.update([frozenset(fields), _held(node)] if typed else [])
            begin(dict(zip(fields, node, strict=True)), path, labels, type(node).__name__)
        elif isinstance(node, dict) and not typed and node and frozenset(node) in known:
            begin({str(name): child for name, child in node.items()}, path, labels, "")
        elif isinstance(node, dict):
            for key, child in node.items():
                chosen = () if str(key).isdigit() else (str(key),)
                walk(child, (*path, str(key)), (*labels, *chosen), record)
        elif isinstance(node, list | tuple):
            for index, child in enumerate(node):
                walk(child, (*path, str(index)), labels, record)
        else:
            for below, leaf in jax.tree_util.tree_leaves_with_path(node):
                record.leaves[(*path, *_parts(below))[len(record.path) :]] = leaf

    root = Record((), (), "")
    found.append(root)
    walk(tree, (), (), root)
    return [record for record in found if record.leaves]


def _held(node: Any) -> Fields:
    """The fields of a named tuple in which there are arrays: what some checkpoints keep of it."""
    return frozenset(f for f, x in zip(node._fields, node, strict=True) if jax.tree.leaves(x))


def _parts(path: Iterable[Any]) -> Path:
    return tuple(keystr((key,), simple=True) for key in path)


def _pairs(old: list[Record], new: list[Record]) -> dict[int, int]:
    """For each record of the new state the one of the old state that takes its place.

    Among records that look alike the order decides where there are equally many, and the path
    where there are not.
    """
    found: dict[int, int] = {}
    for signature in {record.signature for record in new}:
        here = [i for i, record in enumerate(new) if record.signature == signature]
        there = [i for i, record in enumerate(old) if record.signature == signature]
        alike = [
            (i, j)
            for i, j in zip(here, there, strict=False)
            if len(here) == len(there) and _kinds_agree(new[i], old[j])
        ]
        same = [(i, j) for i in here for j in there if new[i].path == old[j].path]
        found |= dict(alike or same)
    return found


def _kinds_agree(one: Record, other: Record) -> bool:
    return not one.kind or not other.kind or one.kind == other.kind


def _is_count(path: Path, x: Any) -> bool:
    return path[-1].startswith("count") and jnp.issubdtype(jnp.result_type(x), jnp.integer)


def _steps(records: list[Record]) -> int | None:
    """The number of steps that all counts of the records agree on; None if they do not."""
    leaves = [(path, x) for record in records for path, x in record.leaves.items()]
    values = {int(x) for path, x in leaves if _is_count(path, x) and np.ndim(x) == 0}
    return values.pop() if len(values) == 1 else None


def _unless(names: list[str], patterns: Sequence[str]) -> list[str]:
    return [n for n in names if not any(fnmatch.fnmatchcase(n, pattern) for pattern in patterns)]


def _complain(homeless: list[str], lost: list[str]) -> None:
    parts = []
    if homeless:
        parts.append(f"the old state has nothing for {', '.join(homeless)} (fresh=… starts anew)")
    if lost:
        parts.append(f"{', '.join(lost)} of the old state has no place (dropped=… loses it)")
    if parts:
        raise ValueError(f"migrate_state: {'; '.join(parts)}")


def _stored(value: Any, like: jax.Array) -> jax.Array:
    if jnp.issubdtype(jnp.result_type(value), jax.dtypes.prng_key):
        value = jax.random.key_data(value)
    return jnp.array(value, like.dtype)
