"""What is done with an optimizer and its state: reading, resetting, placing it."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np
from jax.tree_util import keystr
from optax.transforms import PartitionState

from gradlab.core._data import path_name
from gradlab.core._edit import items
from gradlab.core._names import unknown
from gradlab.core._rule import Rule, Transform
from gradlab.core._schedule import Schedule


def current(opt: Transform, state: Any) -> dict[str, Any]:
    """The hyperparameters at this step, with schedules evaluated.

    Args:
      opt: a transform.
      state: its state; the next `update` will use the values returned.

    Returns:
      A dict from path to value. A schedule stands under the path of its field.

    Example:
      >>> import gradlab as gl
      >>> opt = gl.sgd(gl.linear_schedule(1.0, 0.0, 10))
      >>> float(gl.current(opt, opt.init({}))["learning_rate"])
      1.0
    """
    return _current(opt.rule, state, "")


def _current(rule: Rule, state: Any, prefix: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    counts = rule.schedule_counts(state)
    for name in rule.hyper_names:
        value = getattr(rule, name)
        path = prefix + name
        if isinstance(value, Schedule):
            values[path] = value(counts[name])
        elif isinstance(value, Transform):
            values |= _current(value.rule, rule.inner_states(state)[name], f"{path}.")
        elif _holds_transforms(value):
            parts = rule.inner_states(state)[name]
            for index, link in items(value):
                values |= _current(link.rule, parts[index], f"{path}[{index!r}].")
        else:
            values |= {path + key: leaf for key, leaf in _leaves(value)}
    return values


def _holds_transforms(value: Any) -> bool:
    if not isinstance(value, tuple | dict):
        return False
    return any(isinstance(item, Transform) for _, item in items(value))


def _leaves(value: Any) -> list[tuple[str, Any]]:
    return [(keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(value)]


def eval_params(opt: Any, state: Any, params: Any) -> Any:
    """The parameters to evaluate with.

    Averages, lookahead and schedule-free methods keep several iterates: one is trained,
    another is better. For everything else these are the parameters themselves.

    Args:
      opt: a transform, however deep the method lies in it.
      state: its state.
      params: the parameters that are trained.

    Returns:
      A tree like the parameters that a model takes, in their dtypes.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> opt = gl.chain(gl.clip_by_global_norm(9.0), gl.average_iterates(gl.sgd(1.0), 0.5))
      >>> params = jnp.array(4.0)
      >>> updates, state = opt.update(jnp.array(2.0), opt.init(params), params)
      >>> float(gl.eval_params(opt, state, params + updates))
      3.0
    """
    return opt.rule.eval_params(state, params)


def measurements(opt: Any, state: Any) -> dict[str, Any]:
    """What the optimizer's state says about the latest steps.

    Args:
      opt: a transform, however deep what measures lies in it: `watch` measures norms, the
        update-to-parameter ratio and what is not finite; `apply_if_finite` counts steps that
        it left out.
      state: its state.

    Returns:
      A dict from name to scalar, or to a dict of scalars by group. It is empty where nothing
      measures.

    Example:
      >>> import gradlab as gl
      >>> opt = gl.apply_if_finite(gl.sgd(0.1), 3)
      >>> _, state = opt.update(float("nan"), opt.init(1.0), 1.0)
      >>> int(gl.measurements(opt, state)["skipped_steps"])
      1
    """
    return opt.rule.measurements(state)


def reset(opt: Any, state: Any, params: Any, *, group: Any = None) -> Any:
    """A state as before the first step: of the whole optimizer, or of one group.

    Args:
      opt: a transform.
      state: its state.
      params: the parameters now.
      group: None, or a label of a `partition` in `opt` (of muon's groups `"muon"` and
        `"adam"`, too). All other parts of the state stay as they are.

    Returns:
      The state.

    Raises:
      ValueError: no partition has this group; the message names those that there are.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> opt = gl.partition({"a": gl.sgd(0.1, 0.9), "b": gl.adam(0.1)}, {"w": "a", "b": "b"})
      >>> params = {"w": jnp.ones(2), "b": jnp.ones(2)}
      >>> _, state = opt.update(params, opt.init(params), params)
      >>> state = gl.reset(opt, state, params, group="a")
      >>> gl.tree.get(state, "trace")["w"].tolist(), int(gl.tree.get(state, "count"))
      ([0.0, 0.0], 1)
    """
    fresh = opt.init(params)
    if group is None:
        return fresh
    known: list[Any] = []

    def is_partition(x: Any) -> bool:
        return isinstance(x, PartitionState)

    def part(old: Any, new: Any) -> Any:
        if not is_partition(old):
            return old
        known.extend(old.inner_states)
        return PartitionState(
            {
                label: new.inner_states[label] if label == group else walk(inner, label, new)
                for label, inner in old.inner_states.items()
            }
        )

    def walk(inner: Any, label: Any, new: PartitionState) -> Any:
        return jax.tree.map(part, inner, new.inner_states[label], is_leaf=is_partition)

    state = jax.tree.map(part, state, fresh, is_leaf=is_partition)
    if group not in known:
        raise ValueError(f"reset: {unknown('group', str(group), map(str, known))}")
    return state


def state_sharding(opt: Transform, params: Any) -> Any:
    """Shardings for the state: each average like its parameter, all else replicated.

    For `jax.jit(opt.init, out_shardings=gradlab.state_sharding(opt, params))`, where jit
    would otherwise replicate the state.

    Args:
      opt: a transform.
      params: arrays, or `jax.ShapeDtypeStruct`s with a sharding.

    Returns:
      A tree like the state, with a sharding at each leaf.
    """
    owners = ParameterPaths(params)
    first = next((p.sharding for p in jax.tree.leaves(params)), None)
    state = jax.eval_shape(opt.init, params)

    def leaf(path: Any, x: Any) -> Any:
        # A part of an array that is kept in parts lies one step below it.
        for whole in (path, path[:-1]):
            found = owners.find(whole, x.shape)
            if found is not None:
                return found.parameter.sharding
        return _replicated(first)

    return jax.tree_util.tree_map_with_path(leaf, state)


def owners_in_state(state: Any, params: Any) -> list[int | None]:
    """Which parameter each array of a state is kept for, by path and shape.

    Args:
      state: a state, or shapes of one.
      params: the parameters, or their shapes.

    Returns:
      For each leaf of the state the position of a leaf of the parameters; None for what is
      kept for none of them, or has another shape.
    """
    owners = ParameterPaths(params)
    leaves = jax.tree_util.tree_leaves_with_path(state)
    found = (owners.find(path, np.shape(x)) for path, x in leaves)
    return [None if belonging is None else belonging.position for belonging in found]


class Belonging(NamedTuple):
    """The parameter that an array of a state is kept for.

    Attributes:
      position: of the parameter, among the leaves of all.
      parameter: an array, or its shape and dtype.
      field: the name of what the state keeps for each parameter, such as `mu`.
    """

    position: int
    parameter: Any
    field: str


class ParameterPaths:
    """Finds the parameter that an array of a state is kept for.

    The path of such an array ends with that of the parameter, and it has the same shape.
    """

    def __init__(self, params: Any) -> None:
        leaves = jax.tree_util.tree_leaves_with_path(params)
        self._known = {path_name(path): row for row, (path, _) in enumerate(leaves)}
        self._parameters = [p for _, p in leaves]

    def find(self, path: Any, shape: tuple[int, ...] | None) -> Belonging | None:
        """The parameter of one array; None for counts and all else that is like none.

        Args:
          path: where the array lies in the state.
          shape: that of the array; None for what is kept in another shape.
        """
        for start in range(len(path) + 1):
            position = self._known.get(path_name(path[start:]))
            if position is None:
                continue
            parameter = self._parameters[position]
            if shape in (None, np.shape(parameter)):
                return Belonging(position, parameter, _field(path[:start]))
        return None

    def fields(self, state: Any) -> set[str]:
        """The names of all that a state keeps for parameters."""
        leaves = jax.tree_util.tree_leaves_with_path(state)
        found = (self.find(path, np.shape(x)) for path, x in leaves)
        return {belonging.field for belonging in found if belonging is not None}


def _field(path: Any) -> str:
    """The last name on a path; positions have none."""
    names = (getattr(key, "name", getattr(key, "key", None)) for key in reversed(path))
    return next((name for name in names if isinstance(name, str)), "")


def _replicated(sharding: Any) -> Any:
    if isinstance(sharding, jax.sharding.NamedSharding):
        return jax.sharding.NamedSharding(sharding.mesh, jax.sharding.PartitionSpec())
    return sharding
