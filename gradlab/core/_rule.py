"""A rule holds hyperparameters and the mathematics; a transform presents it to optax."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import jax
import optax

from gradlab.core import _interop, _tree
from gradlab.core._data import Data, flatten_with_keys, hash_by_value, same_value
from gradlab.core._names import nearest
from gradlab.core._numerics import global_norm
from gradlab.core._types import Params, Updates

RESERVED = ("value", "grad", "value_fn", "grad_fn", "key")
"""Extra arguments of `update` that every transformation accepts."""


class Rule(Data):
    """Hyperparameters and the mathematics of one step.

    A subclass lists its fields with `hyper(...)` and `static(...)` and defines the pure
    methods `init(params)` and `update(updates, state, params, **extra)`. Inside `update`
    it may return updates in whatever dtype it computed in: the transform that presents
    the rule casts them to the dtype of the parameters, or to float32 if that is wider and
    the rule has `wide_updates`.

    Attributes:
      needs: extra arguments without which `update` cannot work.
      written_last: fields of a direction's state whose old value the update of the
        parameters reads. An optimizer writes them after the parameters where that saves a
        copy; see `written_after`.
      clips: whether updates are gradients that were shortened.
      settles: whether the rule relies on it that parameters land where its updates say, so
        that nothing may change these on the way.
      wide_updates: whether updates have float32 or wider for narrower parameters, too. The
        sum of parameter and update, rounded, is then any value that the rule chose; an
        update in the parameter's dtype could not carry most of them.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    written_last: ClassVar[tuple[str, ...]] = ()
    wide_updates: ClassVar[bool] = False
    clips: ClassVar[bool] = False
    settles: ClassVar[bool] = False

    def init(self, params: Params) -> Any:
        """The state before the first step, for parameters of these shapes and dtypes."""
        del params
        return optax.EmptyState()

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, Any]:
        """One step: gradients in, updates to be added to the parameters out."""
        raise NotImplementedError(f"{type(self).__name__} has to define update")

    def clipped_update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, Any, Any]:
        """`update`, and the norm of the gradient once clipped; None where nothing clips it."""
        updates, state = self.update(updates, state, params, **extra)
        return updates, state, global_norm(updates) if self.clips else None

    def required(self) -> tuple[str, ...]:
        """Names of the extra arguments without which `update` cannot work."""
        return self.needs

    def declared(self) -> tuple[str, ...]:
        """Names of the extra arguments that this rule, or a part of it, reads."""
        return self.required()

    def allows_unknown_extra(self) -> bool:
        """Whether extra arguments that nobody declared pass through."""
        return True

    def check_composition(self) -> None:
        """Refuses inner transforms with which the whole would make no sense.

        Raises:
          ValueError: there is such a one; the message says what to write instead.
        """

    def settles_params(self) -> bool:
        """Whether updates have to reach the parameters as they are."""
        return self.settles

    def shows_wide_updates(self) -> bool:
        """Whether updates are shown in float32 where the parameters are narrower."""
        return self.wide_updates

    def needed(self, params: Params | None) -> Params:
        """The parameters, without which the rule cannot step.

        Raises:
          ValueError: there are none.
        """
        if params is None:
            raise ValueError(
                f"{self.owner()}: update needs the parameters: opt.update(grads, state, params)"
            )
        return params

    def schedule_counts(self, state: Any) -> dict[str, Any]:
        """For each hyperparameter that may be a schedule, the step count in the state."""
        del state
        return {}

    def inner_states(self, state: Any) -> dict[str, Any]:
        """For each field that holds transforms, their part of the state."""
        del state
        return {}

    def inner_rules(self, state: Any) -> list[tuple[Rule, Any]]:
        """The rule of each inner transform with its part of the state."""
        found = []
        for name, parts in self.inner_states(state).items():
            value = getattr(self, name)
            if isinstance(value, Transform):
                value, parts = (value,), (parts,)
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            found += [(opt.rule, parts[index]) for index, opt in pairs]
        return found

    def eval_params(self, state: Any, params: Params) -> Params:
        """The parameters to evaluate with; those that inner transforms say, one by one."""
        for rule, part in self.inner_rules(state):
            params = rule.eval_params(part, params)
        return params

    def measurements(self, state: Any) -> dict[str, Any]:
        """What the state says about the latest steps, by name; all that inner transforms say."""
        found: dict[str, Any] = {}
        for rule, part in self.inner_rules(state):
            found |= rule.measurements(part)
        return found

    def in_order(self, state: Any, updates: Updates, params: Params | None) -> Any:
        """The new state, to be written after the parameters where `written_last` says so."""
        del updates, params
        return state

    def each(
        self, leaf: Callable[..., Any], updates: Updates, *states: Any, reads: tuple = ()
    ) -> tuple:
        """Applies the per-array form of the rule to every leaf; see `map_leaves`."""
        return _tree.map_leaves(self, leaf, updates, *states, reads=reads)

    def presented_update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, Any]:
        check_extra(self, extra)
        new_updates, new_state = self.update(updates, state, params, **extra)
        like = updates if params is None else params
        new_updates = _tree.cast_like(new_updates, like, wide=self.shows_wide_updates())
        return new_updates, self.in_order(new_state, new_updates, params)

    def present(self) -> Transform:
        """The transform that shows this rule to optax."""
        return Transform(self)


def check_extra(rule: Rule, extra: dict[str, Any]) -> None:
    """Refuses missing extra arguments and near misses of known ones."""
    owner = rule.owner()
    for name in rule.required():
        if extra.get(name) is None:
            raise TypeError(f"{owner}: update needs the extra argument {name}=…")
    known = tuple(dict.fromkeys(RESERVED + rule.declared()))
    for name in extra:
        if name in known:
            continue
        near = nearest(name, known, cutoff=0.8)
        if near:
            raise TypeError(
                f"{owner}: update got an unknown argument {name!r}; did you mean {near!r}?"
            )
        if not rule.allows_unknown_extra():
            raise TypeError(
                f"{owner}: update got an undeclared argument {name!r}; known are {', '.join(known)}"
            )


class Transform(optax.GradientTransformationExtraArgs):
    """An optimizer, or any gradient transformation, as data.

    It is what `optax` expects, a pair of pure functions `init` and `update`, and at the
    same time a pytree whose leaves are its hyperparameters: `opt.learning_rate` reads
    one, `gradlab.replace` changes one, `jax.vmap`, `jax.grad` and `jax.jit` take it as
    an ordinary argument.
    """

    rule: Rule

    def __new__(cls, rule: Rule) -> Transform:
        self = super().__new__(cls, rule.init, rule.presented_update)
        self.rule = rule
        return self

    def __getattr__(self, name: str) -> Any:
        rule = self.__dict__.get("rule")
        if rule is not None and name in rule.hyper_names + rule.static_names:
            return getattr(rule, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def _fields(self) -> tuple[str, ...]:
        # Libraries recognise a named tuple by this name and would store its two methods.
        # flax asks here first and looks into its registry when it is told that there are
        # no fields, so this is the moment at which its registry has to be ready.
        _interop.register_with_flax(type(self))
        raise AttributeError("_fields")

    def _replace(self, **values: Any) -> Transform:
        del values
        raise TypeError("an optimizer is changed with gradlab.replace(opt, learning_rate=…)")

    def __reduce__(self) -> tuple:
        return Transform, (self.rule,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Transform) and same_value(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash_by_value(self)

    def __repr__(self) -> str:
        return repr(self.rule)

    def __pdoc__(self, **kwargs: Any) -> Any:
        return self.rule.__pdoc__(**kwargs)

    def __treescope_repr__(self, path: Any, subtree_renderer: Any) -> Any:
        return self.rule.__treescope_repr__(path, subtree_renderer)


def data_of(opt: Any) -> Any:
    """The data that holds the fields: a transform's rule, and anything else itself."""
    return opt.rule if isinstance(opt, Transform) else opt


def _flatten(opt: Transform) -> tuple[tuple, tuple]:
    rule = opt.rule
    return rule.hyper_values, (type(rule), rule.static_values)


def _flatten_with_keys(opt: Transform) -> tuple[list, tuple]:
    children, statics = flatten_with_keys(opt.rule)
    return children, (type(opt.rule), statics)


def _unflatten(aux: tuple, children: Iterable[Any]) -> Transform:
    rule_type, statics = aux
    return Transform(rule_type.from_children(statics, children))


jax.tree_util.register_pytree_with_keys(Transform, _flatten_with_keys, _unflatten, _flatten)
