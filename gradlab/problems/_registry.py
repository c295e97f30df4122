"""Problems by name."""

import inspect
from collections.abc import Callable
from typing import Any

from gradlab.core import unknown
from gradlab.problems._char_transformer import char_transformer
from gradlab.problems._digits_logistic import digits_logistic
from gradlab.problems._digits_mlp import digits_mlp
from gradlab.problems._modular_addition import modular_addition
from gradlab.problems._problem import Problem

_MAKERS: dict[str, Callable[..., Problem]] = {
    maker.__name__: maker
    for maker in (char_transformer, digits_logistic, digits_mlp, modular_addition)
}


def names() -> tuple[str, ...]:
    """Returns the names of all training problems in alphabetical order."""
    return tuple(sorted(_MAKERS))


def get(name: str, **settings: Any) -> Problem:
    """Makes a training problem by name.

    Args:
        name: one of `names()`.
        **settings: what differs from the problem's own defaults.

    Returns:
        The problem with its data on the device.

    Raises:
        ValueError: for an unknown name or setting, with the nearest match.
    """
    if name not in _MAKERS:
        raise ValueError(unknown("problem", name, names()))
    allowed = inspect.signature(_MAKERS[name]).parameters
    for setting in settings:
        if setting not in allowed:
            raise ValueError(unknown(f"setting of {name}", setting, allowed))
    return _MAKERS[name](**settings)
