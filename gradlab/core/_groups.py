"""Parts of a tree: which leaves belong to a group, and trees with the others masked."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import jax
from jax.tree_util import keystr
from optax import MaskedNode

from gradlab.core._fields import freeze, thaw
from gradlab.core._tree import flatten_like
from gradlab.core._types import Params

Pattern = str | Callable[[str, Any], bool]


def is_absent(x: Any) -> bool:
    """Whether a leaf stands for no array: None, or masked."""
    return x is None or isinstance(x, MaskedNode)


def leaf_names(tree: Any) -> list[str]:
    """The path of each leaf, absent ones too, as `layer/kernel`; the same for dicts,
    attributes and positions."""
    return ["/".join(parts) for parts in _parts(tree)]


def _parts(tree: Any, is_leaf: Callable[[Any], bool] = is_absent) -> list[tuple[str, ...]]:
    paths = jax.tree_util.tree_leaves_with_path(tree, is_leaf=is_leaf)
    return [tuple(keystr((key,), simple=True) for key in path) for path, _ in paths]


@dataclasses.dataclass(frozen=True)
class Groups:
    """Which group each part of a tree belongs to.

    Attributes:
      treedef: of the tree of parts; a part may be a whole subtree.
      owners: the group of each part, None where there is no array.
    """

    treedef: Any
    owners: tuple[Any, ...]

    @classmethod
    def of_leaves(cls, like: Any, owners: Sequence[Any]) -> Groups:
        """Groups of single leaves of a tree, absent ones too."""
        return cls(jax.tree.structure(like, is_leaf=is_absent), tuple(owners))

    def pick(self, group: Any, tree: Any) -> Any:
        """The parts of one group, all others masked; where there is no array, what is there.

        Raises:
          ValueError: another structure; the message names the path.
        """
        parts = flatten_like(self.treedef, tree, "params", "updates")
        pairs = zip(self.owners, parts, strict=True)
        kept = [x if owner is None or owner == group else MaskedNode() for owner, x in pairs]
        return self.treedef.unflatten(kept)

    def put_together(self, trees: Mapping[Any, Any]) -> Any:
        """One tree, each part from the tree of its group; where there is no array, any."""
        flat = {group: self.treedef.flatten_up_to(tree) for group, tree in trees.items()}
        first = next(iter(flat))
        pairs = enumerate(self.owners)
        found = [flat[first if owner is None else owner][i] for i, owner in pairs]
        return self.treedef.unflatten(found)


def groups_of(owner: str, name: str, spec: Any, params: Params) -> Groups:
    """The groups of parameters that a tree of labels describes.

    Args:
      owner: the public function, for messages.
      name: its argument.
      spec: a tree of labels, or a function from params to one. Labels are matched to
        parameters by path, so that a plain dict can label an `nnx.State` or a module. A
        label stands for everything below it.
      params: the parameters.

    Raises:
      ValueError: a parameter without a label, or a label without a parameter; the message
        names the path.
    """
    spec = thaw(spec)
    tree = spec(params) if callable(spec) else spec
    labels = _labels_by_path(owner, name, tree, params)
    leaves, treedef = jax.tree.flatten(tree)
    try:
        parts = treedef.flatten_up_to(params)
    except (ValueError, TypeError, KeyError):
        return Groups.of_leaves(params, labels)
    present = (jax.tree.leaves(part) for part in parts)
    return Groups(treedef, tuple(x if p else None for x, p in zip(leaves, present, strict=True)))


def _labels_by_path(owner: str, name: str, tree: Any, params: Params) -> list[Any]:
    """The label of each leaf of the parameters; None where there is no array."""
    labels = dict(zip(_parts(tree), jax.tree.leaves(tree, is_leaf=is_absent), strict=True))
    used: set[tuple[str, ...]] = set()
    found = []
    leaves = jax.tree.leaves(params, is_leaf=is_absent)
    for parts, leaf in zip(_parts(params), leaves, strict=True):
        prefixes = [parts[:end] for end in range(len(parts) + 1) if parts[:end] in labels]
        used.update(prefixes)
        label = labels[prefixes[-1]] if prefixes and not is_absent(leaf) else None
        if label is None and not is_absent(leaf):
            raise ValueError(f"{owner}: {name} has no label for the parameter at {_shown(parts)}")
        found.append(label)
    unused = [parts for parts in labels if parts not in used and not is_absent(labels[parts])]
    if unused:
        known = ", ".join(map(_shown, _parts(params)))
        raise ValueError(
            f"{owner}: {name} labels {_shown(unused[0])}, where there is no parameter; "
            f"parameters are at {known or 'no path'}"
        )
    return found


def _shown(parts: Sequence[str]) -> str:
    return "/".join(parts) or "the root"


@dataclasses.dataclass(frozen=True)
class ByPath:
    """A function from parameters to labels that looks at paths; see `by_path`."""

    groups: tuple[tuple[Hashable, tuple[Pattern, ...]], ...]
    otherwise: Hashable

    def __call__(self, params: Params) -> Any:
        names, (leaves, treedef) = leaf_names(params), jax.tree.flatten(params, is_leaf=is_absent)
        rows = list(zip(names, leaves, strict=True))
        for label, patterns in self.groups:
            for pattern in patterns:
                if not any(_matches(pattern, name, leaf) for name, leaf in rows):
                    known = ", ".join(names) or "none"
                    raise ValueError(
                        f"by_path: {pattern!r} of the group {label!r} matches none of the "
                        f"parameters; they are {known}"
                    )
        return treedef.unflatten([self._label(name, leaf) for name, leaf in rows])

    def _label(self, name: str, leaf: Any) -> Hashable:
        found = [
            label
            for label, patterns in self.groups
            if any(_matches(pattern, name, leaf) for pattern in patterns)
        ]
        if len(found) > 1:
            raise ValueError(
                f"by_path: the parameter {name or 'at the root'!r} belongs to several groups: "
                f"{', '.join(map(repr, found))}"
            )
        if not found and self.otherwise is None:
            raise ValueError(f"by_path: the parameter {name or 'at the root'!r} is in no group")
        return found[0] if found else self.otherwise


def _matches(pattern: Pattern, name: str, leaf: Any) -> bool:
    if is_absent(leaf):
        return False
    return fnmatch.fnmatchcase(name, pattern) if isinstance(pattern, str) else pattern(name, leaf)


def by_path(
    groups: Mapping[Any, Pattern | Sequence[Pattern]], otherwise: Hashable = None
) -> Callable[[Params], Any]:
    """Labels for parameters by what their path looks like.

    The same for dicts, `nnx.State`, equinox modules and all other trees: a path is the names
    of keys, attributes and positions, joined by slashes.

    Args:
      groups: label to a pattern, or a list of them: a string such as `"*/bias"`, in which
        `*` stands for anything, or a function of path and array that says yes or no.
      otherwise: the label of parameters that no pattern matches. None: there must be none.

    Returns:
      A function from parameters to a tree of labels, for `partition`. It compares by value.
      It raises a `ValueError` that names the path for a parameter in no group or in two, and
      for a pattern that matches nothing.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> label = gl.by_path({"still": "embed*", "decayed": lambda path, x: x.ndim > 1}, "rest")
      >>> label({"embed": jnp.ones(3), "head": {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)}})
      {'embed': 'still', 'head': {'bias': 'rest', 'kernel': 'decayed'}}
    """
    rows = tuple((label, _several(patterns)) for label, patterns in groups.items())
    return ByPath(rows, freeze(otherwise))


def _several(patterns: Pattern | Sequence[Pattern]) -> tuple[Pattern, ...]:
    if isinstance(patterns, str) or callable(patterns):
        return (patterns,)
    return tuple(patterns)
