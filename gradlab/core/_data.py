"""Frozen dataclasses that are pytrees with named leaves and compare by value."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import numpy as np
from jax.tree_util import GetAttrKey

from gradlab.core._fields import Frozen, hyper, is_static, is_tracer, part, static


@typing.dataclass_transform(
    frozen_default=True, kw_only_default=True, field_specifiers=(hyper, part, static)
)
class Data:
    """A pytree whose leaves are the hyperparameters of its class.

    A subclass lists its fields with `hyper(...)` and `static(...)`; it becomes a frozen,
    keyword-only dataclass and a registered pytree. No check runs in the constructor,
    because jit, vmap, grad and tree maps call it with tracers, None and gradients.
    """

    hyper_names: ClassVar[tuple[str, ...]] = ()
    static_names: ClassVar[tuple[str, ...]] = ()
    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field]]
    public: ClassVar[Callable[..., Any] | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)(cls)
        fields = dataclasses.fields(cls)
        names = [f.name for f in fields if not is_static(f)]
        # A mixin's fields come last; the learning rate is what a reader looks for first.
        cls.hyper_names = tuple(sorted(names, key=lambda name: name != "learning_rate"))
        cls.static_names = tuple(f.name for f in fields if is_static(f))
        jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, cls.from_children, _flatten)

    @classmethod
    def from_children(cls, statics: tuple, children: Any) -> Any:
        self = object.__new__(cls)
        for name, value in zip(cls.hyper_names, children, strict=True):
            object.__setattr__(self, name, value)
        for name, value in zip(cls.static_names, statics, strict=True):
            object.__setattr__(self, name, value)
        return self

    @property
    def hyper_values(self) -> tuple:
        return tuple(getattr(self, name) for name in self.hyper_names)

    @property
    def static_values(self) -> tuple:
        return tuple(getattr(self, name) for name in self.static_names)

    def with_values(self, **values: Any) -> Any:
        """The same data with some fields changed, unchecked."""
        return dataclasses.replace(self, **values)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and same_value(self, other)

    def __hash__(self) -> int:
        return hash_by_value(self)

    def present(self) -> Any:
        """What the public function returns: the data itself, unless a subclass wraps it."""
        return self

    @classmethod
    def owner(cls) -> str:
        """What messages call this: its public function, or the class."""
        return getattr(cls.public, "__name__", cls.__name__)

    def __repr__(self) -> str:
        return show(self)

    def __pdoc__(self, **kwargs: Any) -> Any:
        # The hook of wadler_lindig, which prints trees for equinox and jaxtyping.
        return _text_document(repr(self))

    def __treescope_repr__(self, path: Any, subtree_renderer: Any) -> Any:
        del path, subtree_renderer
        from treescope import rendering_parts

        return rendering_parts.text(repr(self))


def _text_document(text: str) -> Any:
    import wadler_lindig

    return wadler_lindig.TextDoc(text)


def path_name(path: Any) -> str:
    """A path as messages print it and `replace` takes it: `links[0].max_norm`."""
    return jax.tree_util.keystr(path).lstrip(".")


def _flatten(data: Data) -> tuple[tuple, tuple]:
    return data.hyper_values, data.static_values


def flatten_with_keys(data: Data) -> tuple[list, tuple]:
    """The hyperparameters with the names of their fields, and the static values."""
    keys = [GetAttrKey(name) for name in data.hyper_names]
    return list(zip(keys, data.hyper_values, strict=True)), data.static_values


def same_value(left: Any, right: Any) -> bool:
    """Whether two pytrees have the same structure and equal leaves."""
    left_leaves, left_def = jax.tree.flatten(left)
    right_leaves, right_def = jax.tree.flatten(right)
    if left_def != right_def:
        return False
    return all(_same_leaf(a, b) for a, b in zip(left_leaves, right_leaves, strict=True))


def _same_leaf(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if is_tracer(a) or is_tracer(b):
        raise TypeError(
            "an optimizer that holds traced hyperparameters can only be compared outside of "
            "jit, vmap and grad: pass it as an ordinary argument, not as a static one"
        )
    return np.array_equal(np.asarray(a), np.asarray(b))


def hash_by_value(data: Any) -> int:
    """A hash that agrees with `same_value`.

    Raises:
      TypeError: a leaf is an array with an axis or a tracer; the message names it.
    """
    paths, treedef = jax.tree_util.tree_flatten_with_path(data)
    return hash((treedef, tuple(_hashable(data, path, leaf) for path, leaf in paths)))


def _hashable(data: Any, path: Any, leaf: Any) -> Any:
    if not is_tracer(leaf) and np.ndim(leaf) == 0:
        return float(leaf)
    kind = "a tracer" if is_tracer(leaf) else "an array"
    name = path_name(path)
    raise TypeError(
        f"{type(data).__name__} cannot be hashed: {name} is {kind} of shape {np.shape(leaf)}. "
        "Pass the optimizer as an ordinary argument of the jitted function, or make its "
        "hyperparameters plain numbers: gradlab.concrete(opt), or gradlab.unstack(opt) for a stack"
    )


def show_value(value: Any) -> str:
    """A value as one would write it in a call."""
    if is_tracer(value):
        return f"<traced {value.aval.str_short()}>"
    if isinstance(value, jax.Array | np.ndarray):
        return repr(float(value)) if value.ndim == 0 else _array(value)
    if isinstance(value, dict) and value:
        parts = (f"{key!r}: {show_value(item)}" for key, item in value.items())
        return "{" + ", ".join(parts) + "}"
    if isinstance(value, Frozen):
        return repr(value)
    if isinstance(value, np.dtype):
        return f"{value.name!r}"
    if callable(value) and not isinstance(value, Data | tuple):
        return getattr(value, "__qualname__", repr(value))
    return repr(value)


def _array(value: Any) -> str:
    if value.ndim > 1:  # too much to read
        return f"<{value.dtype}[{','.join(map(str, value.shape))}]>"
    return "jnp.array(" + np.array2string(np.asarray(value), separator=", ", threshold=8) + ")"


def show(data: Data) -> str:
    """The call that would make this data: hyperparameters, and statics off their default."""
    defaults = {f.name: f.default for f in dataclasses.fields(data)}
    names = data.hyper_names + data.static_names
    if data.public is not None:
        parameters = inspect.signature(data.public).parameters
        defaults |= {name: p.default for name, p in parameters.items()}
        names = (*parameters, *(name for name in names if name not in parameters))
    parts = [
        f"{name}={show_value(getattr(data, name))}"
        for name in names
        if _worth_showing(data, name, defaults.get(name))
    ]
    return f"{data.owner()}({', '.join(parts)})"


def _worth_showing(data: Data, name: str, default: Any) -> bool:
    value = getattr(data, name, default)
    if name in data.hyper_names:
        return value is not None or default is not None
    return value is not default and value != default
