"""What is said about a name that does not exist, and what comes nearest to it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST_SHOWN = 20


def nearest(name: str, allowed: Iterable[str], cutoff: float = 0.5) -> str | None:
    """The allowed name that a misspelt one probably means; None where none is near."""
    found = difflib.get_close_matches(str(name), list(allowed), n=1, cutoff=cutoff)
    return found[0] if found else None


def unknown(kind: str, name: str, allowed: Iterable[str]) -> str:
    """Describes a name that is not in a list.

    Args:
      kind: what the name is of.
      name: the name.
      allowed: the names that exist.

    Returns:
      A message with the nearest match and, where they are few, all names that are allowed.
    """
    allowed = list(dict.fromkeys(allowed))
    near = nearest(name, allowed)
    hint = f"; did you mean {near!r}?" if near else ""
    if len(allowed) > MOST_SHOWN:
        return f"unknown {kind} {name!r}{hint or f' among {len(allowed)}'}"
    return f"unknown {kind} {name!r}{hint} (allowed: {', '.join(allowed) or 'none'})"
