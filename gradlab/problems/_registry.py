"""Problems by name."""

import difflib
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from gradlab.problems._char_transformer import char_transformer
from gradlab.problems._digits_logistic import digits_logistic
from gradlab.problems._digits_mlp import digits_mlp
from gradlab.problems._problem import Problem

_MAKERS: dict[str, Callable[..., Problem]] = {
    maker.__name__: maker for maker in (char_transformer, digits_logistic, digits_mlp)
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


def unknown(kind: str, name: str, allowed: Iterable[str]) -> str:
    """Returns the message for a name that is not in a list: what is allowed, and the nearest."""
    allowed = sorted(allowed)
    near = difflib.get_close_matches(name, allowed, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"unknown {kind} {name!r}{hint} (allowed: {', '.join(allowed) or 'none'})"
