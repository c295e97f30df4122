"""What can go wrong with a study for which the message is all that the user needs."""

import difflib
from collections.abc import Iterable

_MOST_SHOWN = 20


class StudyError(ValueError):
    """A study that cannot be read, run or resumed; the message says what to change."""


def unknown(kind: str, name: str, allowed: Iterable[str]) -> str:
    """Describes a name that is not in a list.

    Args:
        kind: what the name is of.
        name: the name.
        allowed: the names that exist.

    Returns:
        A message with the nearest match and, where they are few, all names that are allowed.
    """
    allowed = sorted(allowed)
    near = difflib.get_close_matches(str(name), allowed, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    if len(allowed) > _MOST_SHOWN:
        return f"unknown {kind} {name!r}{hint or f' among {len(allowed)}'}"
    return f"unknown {kind} {name!r}{hint} (allowed: {', '.join(allowed) or 'none'})"
