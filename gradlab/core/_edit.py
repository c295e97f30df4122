"""Reading and changing an optimizer: hyperparameters by name, stacks, arrays, numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from types import NoneType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradlab.core import _build
from gradlab.core._data import Data, path_name
from gradlab.core._fields import Interval, interval_of, is_static, is_tracer, number
from gradlab.core._interop import hyperparameters_by_path
from gradlab.core._names import unknown
from gradlab.core._rule import Transform, data_of


def hyperparameters(opt: Any) -> dict[str, Any]:
    """The hyperparameters of an optimizer, by the path that `replace` takes.

    Args:
      opt: a transform, a schedule, or a tree shaped like one (its gradient, say).

    Returns:
      A dict from path to value, such as `{'links[0].max_norm': 1.0}`.

    Example:
      >>> import gradlab as gl
      >>> gl.hyperparameters(gl.sgd(0.1, momentum=0.9))
      {'learning_rate': 0.1, 'momentum': 0.9}
    """
    return hyperparameters_by_path(opt)


def replace(opt: Any, changes: dict[str, Any] | None = None, /, **named: Any) -> Any:
    """An optimizer with some hyperparameters changed.

    Args:
      opt: a transform or schedule.
      changes: new values by path, as `hyperparameters` prints them.
      **named: new values by name, where one field alone has that name. Static fields can
        be changed by name, too.

    Returns:
      The changed optimizer; `opt` itself is left as it is.

    Raises:
      ValueError: an unknown path or name (the nearest ones are shown), one that several
        fields have, or a value outside its range.

    Example:
      >>> import gradlab as gl
      >>> gl.replace(gl.sgd(0.1), learning_rate=0.3)
      sgd(learning_rate=0.3)
    """
    fields = _fields(opt)
    for key, value in {**(changes or {}), **named}.items():
        opt = _set(opt, fields[_find(key, fields)], value)
    return opt


def _fields(node: Any, prefix: str = "", steps: tuple = ()) -> dict[str, tuple]:
    """Every field of an optimizer: path to the steps that lead there."""
    found: dict[str, tuple] = {}
    data = data_of(node)
    if isinstance(data, Data):
        for field in dataclasses.fields(data):
            path = f"{prefix}.{field.name}" if prefix else field.name
            found[path] = (*steps, field)
            found |= _fields(getattr(data, field.name), path, (*steps, field))
    elif isinstance(node, tuple | dict):
        for index, item in items(node):
            path = f"{prefix}[{index!r}]"
            if not isinstance(item, Data | Transform):
                found[path] = (*steps, index)
            found |= _fields(item, path, (*steps, index))
    return found


def items(node: tuple | dict) -> list[tuple[Any, Any]]:
    """The parts of a tuple or dict with their positions or keys."""
    return list(node.items() if isinstance(node, dict) else enumerate(node))


def _find(key: str, fields: dict[str, tuple]) -> str:
    if key in fields:
        return key
    matches = [path for path in fields if path.rsplit(".", 1)[-1] == key]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise ValueError(f"replace: {key!r} is ambiguous: it may be {', '.join(matches)}")
    raise ValueError(f"replace: {unknown('hyperparameter', key, fields)}")


def _set(node: Any, steps: tuple, value: Any, owner: str = "replace") -> Any:
    step, *rest = steps
    if isinstance(node, Transform):
        return _set(node.rule, steps, value, node.rule.owner()).present()
    if not isinstance(step, dataclasses.Field):
        new = _set(node[step], tuple(rest), value, owner) if rest else value
        if isinstance(node, dict):
            return {**node, step: new}
        return (*node[:step], new, *node[step + 1 :])
    old = getattr(node, step.name)
    if len(rest) == 1 and not isinstance(rest[0], dataclasses.Field):
        new = _set(old, tuple(rest), _build.coerce(owner, step, value), owner)
    elif rest:
        new = _set(old, tuple(rest), value, owner)
    else:
        new = _build.coerce(owner, step, value)
    return node.with_values(**{step.name: new})


def stack(opts: Sequence[Any]) -> Any:
    """Several optimizers of one kind as one, each hyperparameter an array.

    Args:
      opts: transforms (or schedules) that differ in the values of hyperparameters only.

    Returns:
      The same kind of object; each leaf has a leading axis of length `len(opts)`. It is
      meant for `jax.vmap`.

    Raises:
      ValueError: the sequence is empty, or the optimizers differ in structure; the
        message names the first path that differs.

    Example:
      >>> import gradlab as gl, jax
      >>> sweep = gl.stack([gl.sgd(lr) for lr in (0.1, 0.2)])
      >>> jax.vmap(lambda opt: opt.learning_rate * 2)(sweep).tolist()
      [0.20000000298023224, 0.4000000059604645]
    """
    opts = list(opts)
    if not opts:
        raise ValueError("stack: there is no optimizer to stack")
    first = jax.tree.structure(opts[0])
    for index, opt in enumerate(opts):
        if jax.tree.structure(opt) != first:
            raise ValueError(
                f"stack: number {index} differs in structure: {_differs(opts[0], opt)}"
            )
    return jax.tree.map(
        lambda *leaves: jnp.stack([jnp.asarray(x, _float(x)) for x in leaves]), *opts
    )


def _float(x: Any) -> Any:
    return jnp.result_type(float) if isinstance(x, float) else jnp.result_type(x)


def _differs(left: Any, right: Any, path: str = "") -> str:
    """The first place at which two optimizers differ in structure."""
    a: Any = data_of(left)
    b: Any = data_of(right)
    if type(a) is not type(b):
        return f"{path or 'the rule'} is {_kind(a)} in one and {_kind(b)} in the other"
    if isinstance(a, dict) and set(a) != set(b):
        return f"{path} has the parts {sorted(a)} in one and {sorted(b)} in the other"
    if isinstance(a, tuple) and len(a) != len(b):
        return f"{path} has {len(a)} parts in one and {len(b)} in the other"
    for name, x, y, fixed in _children(a, b, path):
        if fixed and x != y:
            return f"{name} is {x!r} in one and {y!r} in the other"
        if not fixed and jax.tree.structure(x) != jax.tree.structure(y):
            return _differs(x, y, name)
    return f"{path or 'the rule'} differs"


def _kind(x: Any) -> str:
    return repr(x) if x is None or isinstance(x, float) else type(x).__name__


def _children(a: Any, b: Any, path: str) -> list[tuple[str, Any, Any, bool]]:
    if isinstance(a, tuple | dict):
        return [(f"{path}[{key!r}]", x, b[key], False) for key, x in items(a)]
    if not isinstance(a, Data):
        return []
    prefix = f"{path}." if path else ""
    return [
        (prefix + f.name, getattr(a, f.name), getattr(b, f.name), is_static(f))
        for f in dataclasses.fields(a)
    ]


def unstack(opt: Any) -> list[Any]:
    """The inverse of `stack`: one optimizer, with plain numbers, for each position.

    Leaves without an axis are shared by all.

    Raises:
      ValueError: no leaf has a leading axis, or their lengths differ.
    """
    leaves, treedef = jax.tree.flatten(opt)
    lengths = {np.shape(leaf)[0] for leaf in leaves if np.ndim(leaf)}
    if len(lengths) != 1:
        found = ", ".join(map(str, sorted(lengths))) or "none"
        raise ValueError(f"unstack: leaves need one leading axis of equal length; found {found}")
    rows = range(lengths.pop())
    pick = [[leaf[i] if np.ndim(leaf) else leaf for leaf in leaves] for i in rows]
    return [concrete(treedef.unflatten(row)) for row in pick]


def axes(opt: Any) -> Any:
    """The `in_axes` that maps a stacked optimizer: 0 where a leaf is stacked, else None.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> gl.axes(gl.sgd(jnp.array([0.1, 0.2]), momentum=0.9)).learning_rate
      0
    """
    return jax.tree.map(lambda leaf: 0 if np.ndim(leaf) else None, opt)


def as_arrays(opt: Any) -> Any:
    """Every hyperparameter as an array, to be stored, donated or updated."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, _float(leaf)), opt)


def concrete(opt: Any) -> Any:
    """Every scalar hyperparameter as a plain number, so that the optimizer is hashable.

    Raises:
      TypeError: a hyperparameter is traced; its path is named.
    """

    def leaf(path: Any, x: Any) -> Any:
        if is_tracer(x):
            raise TypeError(
                f"concrete: {path_name(path)} is traced; call it outside of jit and grad"
            )
        return float(x) if np.ndim(x) == 0 else x

    return jax.tree_util.tree_map_with_path(leaf, opt)


def intervals(opt: Any) -> dict[str, Interval]:
    """The range of every hyperparameter, by the paths of `hyperparameters`."""
    found = {}
    for path, steps in _fields(opt).items():
        field = next(step for step in reversed(steps) if isinstance(step, dataclasses.Field))
        value = _get(opt, steps)
        inner = Data | Transform | tuple | dict | NoneType
        if not is_static(field) and not isinstance(value, inner):
            found[path] = interval_of(field)
    return {path: found[path] for path in hyperparameters(opt)}


def check(opt: Any) -> Any:
    """Checks every hyperparameter against its range, after a meta-update say.

    Returns:
      `opt`, unchanged.

    Raises:
      ValueError: a value is NaN or outside its range, with path, value and bound.
    """
    values = hyperparameters(opt)
    for path, interval in intervals(opt).items():
        number("check", path, values[path], interval)
    return opt


def _get(node: Any, steps: tuple) -> Any:
    for step in steps:
        node = getattr(node, step.name) if isinstance(step, dataclasses.Field) else node[step]
    return node
