"""Groups of parameters, each with an optimizer of its own."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import jax
import optax
from optax import MaskedState, PartitionState

from gradlab import core
from gradlab.core import Params, Transform, Updates, hyper, static
from gradlab.optimizers.adaptive import adam
from gradlab.optimizers.momentum import sgd


class Partition(core.Rule):
    """Steps each group of parameters with its own transformation."""

    transforms: dict[Any, Transform] = hyper()
    param_labels: Any = static()
    mask_compatible_extra_args: bool = static(convert=core.flag)

    def init(self, params: Params) -> PartitionState:
        groups = self.groups(params)
        return PartitionState(
            {
                label: MaskedState(opt.rule.init(groups.pick(label, params)))
                for label, opt in self.transforms.items()
            }
        )

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, PartitionState]:
        like = updates if params is None else params
        groups = self.groups(like)
        steps, states = {}, {}
        for label, opt in self.transforms.items():
            view = View(groups, label, like, self.mask_compatible_extra_args)
            steps[label], inner = opt.rule.presented_update(
                view.pick(updates),
                state.inner_states[label].inner_state,
                None if params is None else view.pick(params),
                **view.extra(extra),
            )
            states[label] = MaskedState(inner)
        return groups.put_together(steps), PartitionState(states)

    def groups(self, params: Params) -> core.Groups:
        """The groups of the parameters, by label."""
        groups = core.groups_of("partition", "param_labels", self.param_labels, params)
        unknown = set(groups.owners) - {None, *self.transforms}
        for label in unknown:
            where = core.leaf_names(groups.pick(label, params))
            known = ", ".join(map(repr, self.transforms))
            raise ValueError(
                f"partition: param_labels gives {where[0] or 'the root'} the label {label!r}, "
                f"for which there is no transformation; there are {known}"
            )
        return groups

    def required(self) -> tuple[str, ...]:
        return self._names(lambda rule: rule.required())

    def declared(self) -> tuple[str, ...]:
        return self._names(lambda rule: rule.declared())

    def _names(self, of: Callable[[core.Rule], tuple[str, ...]]) -> tuple[str, ...]:
        rules = [opt.rule for opt in self.transforms.values()]
        return tuple(dict.fromkeys(name for rule in rules for name in of(rule)))

    def allows_unknown_extra(self) -> bool:
        return all(opt.rule.allows_unknown_extra() for opt in self.transforms.values())

    def settles_params(self) -> bool:
        return any(opt.rule.settles_params() for opt in self.transforms.values())

    def shows_wide_updates(self) -> bool:
        return any(opt.rule.shows_wide_updates() for opt in self.transforms.values())

    def eval_params(self, state: Any, params: Params) -> Params:
        groups = self.groups(params)
        parts = state.inner_states
        return groups.put_together(
            {
                label: opt.rule.eval_params(parts[label].inner_state, groups.pick(label, params))
                for label, opt in self.transforms.items()
            }
        )

    def inner_states(self, state: Any) -> dict[str, Any]:
        parts = state.inner_states
        return {"transforms": {label: parts[label].inner_state for label in self.transforms}}


class View:
    """One group's view of trees, functions and extra arguments."""

    def __init__(self, groups: core.Groups, label: Hashable, params: Params, mask_all: bool):
        self.groups, self.label, self.params, self.mask_all = groups, label, params, mask_all
        self.structure = jax.tree.structure(params, is_leaf=core.is_absent)

    def pick(self, tree: Any) -> Any:
        return self.groups.pick(self.label, tree)

    def extra(self, extra: Mapping[str, Any]) -> dict[str, Any]:
        """Gradients are the group's; functions see the other parameters where they are."""
        found = dict(extra)
        for name, value in extra.items():
            if name in ("value_fn", "grad_fn") and value is not None:
                found[name] = self._of_all(value)
            elif name == "grad" or self.mask_all:
                found[name] = self._picked_if_alike(value)
        return found

    def _of_all(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def of_group(params: Params, *args: Any, **kwargs: Any) -> Any:
            constant = {owner: self.params for owner in self.groups.owners if owner is not None}
            whole = self.groups.put_together(constant | {self.label: params})
            result = function(whole, *args, **kwargs)
            if type(result) is tuple and not self._alike(result):
                return tuple(map(self._picked_if_alike, result))
            return self._picked_if_alike(result)

        return of_group

    def _alike(self, tree: Any) -> bool:
        return jax.tree.structure(tree, is_leaf=core.is_absent) == self.structure

    def _picked_if_alike(self, tree: Any) -> Any:
        return self.pick(tree) if self._alike(tree) else tree


def partition(
    transforms: Mapping[Any, optax.GradientTransformation],
    param_labels: Any,
    *,
    mask_compatible_extra_args: bool = False,
) -> Transform:
    r"""Steps groups of parameters with a transformation each.

    Args:
      transforms: label to transformation. Their hyperparameters are leaves, at paths such as
        `transforms['head'].learning_rate`.
      param_labels: a tree of labels, or a function from params to one, such as
        `gl.by_path({"head": "head/*"}, "rest")`. Labels are matched to parameters by path,
        so that one rule holds for dicts, `nnx.State` and modules; a label stands for
        everything below it.
      mask_compatible_extra_args: whether extra arguments with the structure of params are
        masked for each group, too. `grad`, and what `value_fn` and `grad_fn` take and give,
        are the group's in any case: line searches and wrappers work inside of a group, and
        see the other parameters as constants.

    Returns:
      The transformation. State: that of each transformation for its group.

    Raises:
      ValueError: a parameter without a label or with one that has no transformation, or a
        label without a parameter; the message names the path.
      TypeError: a transformation that is none.

    References:
      Babuschkin et al., "The DeepMind JAX Ecosystem", 2020: `optax.partition` of optax 0.2.8.

    Differs:
      From optax in labels by path, in extra arguments inside of a group, and in the errors.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> opt = gl.partition({"a": gl.sgd(0.1), "b": gl.adam(0.2)}, {"w": "a", "b": "b"})
      >>> gl.hyperparameters(opt)["transforms['a'].learning_rate"]
      0.1
      >>> params = {"w": jnp.ones(2), "b": jnp.ones(3)}
      >>> updates, _ = opt.update(params, opt.init(params), params)
      >>> updates["w"].tolist()
      [-0.10000000149011612, -0.10000000149011612]
    """
    parts = {label: core.adopt_transform(t, "partition") for label, t in transforms.items()}
    return core.build(
        Partition,
        "partition",
        transforms=parts,
        param_labels=param_labels,
        mask_compatible_extra_args=mask_compatible_extra_args,
    )


Partition.public = staticmethod(partition)


def _by_axes(params: Params) -> Any:
    return jax.tree.map(lambda p: "matrices" if p.ndim > 1 else "rest", params)


ENTRY = core.Entry(
    partition,
    formula="p[label] += transforms[label](g[label])",
    paper=("deepmind2020jax",),
    example={"transforms": {"matrices": sgd(0.01), "rest": adam(0.01)}, "param_labels": _by_axes},
)
