"""From what a user writes to data: arguments bound, coerced, checked and frozen."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, overload

import optax

from gradlab.core._chain import adopt_transform
from gradlab.core._data import Data
from gradlab.core._fields import interval_of, number
from gradlab.core._names import unknown
from gradlab.core._regularizer import Regularizer
from gradlab.core._rule import Rule, Transform
from gradlab.core._schedule import Schedule, adopt_schedule

P = ParamSpec("P")


def build(data_type: type[Data], owner: str | None = None, **values: Any) -> Any:
    """Makes a transform, a schedule or a regularizer from what a user gave.

    Its arguments are coerced, checked and frozen.

    Args:
      data_type: the rule, schedule or regularizer to build.
      owner: the name that messages call it by.
      **values: its fields. Real numbers become floats; schedules and foreign callables
        become data; static fields are made hashable.

    Returns:
      The transform that presents the rule, or the schedule or regularizer itself.

    Raises:
      TypeError: a value of the wrong kind.
      ValueError: a number outside its range, with argument, value and bound; an inner
        transform with which the whole would make no sense.
    """
    owner = owner or data_type.owner()
    fields = {f.name: f for f in dataclasses.fields(data_type)}
    coerced = {name: coerce(owner, fields[name], value) for name, value in values.items()}
    made = data_type(**coerced)
    if isinstance(made, Rule):
        made.check_composition()
    return made.present()


def coerce(owner: str, field: dataclasses.Field, value: Any) -> Any:
    """Brings one argument into the form that the rule stores."""
    if "convert" in field.metadata:
        try:
            return field.metadata["convert"](value)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{owner}: {field.name}={value!r}: {error}") from None
    annotation = str(field.type)
    if value is None:
        # A field may be left out, or be a schedule, if its annotation says so.
        if "None" not in annotation:
            raise TypeError(f"{owner}: {field.name}=None is not a real number")
        return None
    if isinstance(value, optax.GradientTransformation) or annotation == "Transform":
        return adopt_transform(value, owner)
    if isinstance(value, dict):
        return {key: coerce(owner, field, item) for key, item in value.items()}
    if callable(value):
        if "Schedule" not in annotation:
            raise TypeError(f"{owner}: {field.name} takes a number, not a schedule: {value!r}")
        return adopt_schedule(value)
    return _numbers(owner, field, value)


def _numbers(owner: str, field: dataclasses.Field, value: Any) -> Any:
    """A number, or a tuple of them, however deep."""
    if isinstance(value, tuple | list):
        return tuple(_numbers(owner, field, item) for item in value)
    return number(owner, field.name, value, interval_of(field))


@overload
def builds(
    data_type: type[Rule], **fixed: Any
) -> Callable[[Callable[P, Any]], Callable[P, Transform]]: ...


@overload
def builds(
    data_type: type[Schedule], **fixed: Any
) -> Callable[[Callable[P, Any]], Callable[P, Schedule]]: ...


@overload
def builds(
    data_type: type[Regularizer], **fixed: Any
) -> Callable[[Callable[P, Any]], Callable[P, Regularizer]]: ...


@overload
def builds(
    data_type: type[Data], **fixed: Any
) -> Callable[[Callable[P, Any]], Callable[P, Any]]: ...


def builds(data_type: type[Data], **fixed: Any) -> Any:
    """Makes a signature with a docstring into the public function of a data type.

    The parameters of the decorated function are fields of the data, its defaults are the
    defaults, and its body is only a docstring.

    Args:
      data_type: the rule, schedule or regularizer that the function builds.
      **fixed: fields that this function sets itself.

    Returns:
      A decorator.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(function)
        name = function.__name__
        fields = {f.name for f in dataclasses.fields(data_type)}
        unknown = set(signature.parameters) - fields
        if unknown:
            raise TypeError(f"{name}: {sorted(unknown)} are no fields of {data_type.__name__}")

        @functools.wraps(function)
        def public(*args: Any, **kwargs: Any) -> Any:
            bound = _bind(name, signature, args, kwargs)
            return build(data_type, name, **bound, **fixed)

        public.builds = data_type  # pyright: ignore[reportAttributeAccessIssue]
        if data_type.__dict__.get("public") is None:
            data_type.public = staticmethod(public)
        return public

    return decorate


def _bind(name: str, signature: inspect.Signature, args: tuple, kwargs: dict) -> dict[str, Any]:
    for given in kwargs:
        if given not in signature.parameters:
            raise TypeError(f"{name}: {unknown('argument', given, signature.parameters)}")
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{name}(): {error}") from None
    bound.apply_defaults()
    return bound.arguments
