"""The catalogue: every method that gradlab has, as each declares itself in its own file."""

from __future__ import annotations

import functools
import importlib
import pkgutil
import tomllib
from collections.abc import Iterator
from importlib import resources
from typing import Any

from gradlab.core import ROOMS, unknown
from gradlab.core import Entry as Entry
from gradlab.core import Traits as Traits


@functools.cache
def entries() -> tuple[Entry, ...]:
    """All entries, sorted by name.

    A method is found by its file: every module of a room that has an `ENTRY`.

    Raises:
      ValueError: two entries have one name.
    """
    found: dict[str, Entry] = {}
    for entry in _declared():
        if entry.name in found:
            raise ValueError(f"two methods of the catalogue are called {entry.name!r}")
        found[entry.name] = entry
    return tuple(found[name] for name in sorted(found))


def _declared() -> Iterator[Entry]:
    for room in ROOMS:
        try:
            package = importlib.import_module(f"gradlab.{room}")
        except ModuleNotFoundError as error:
            if error.name != f"gradlab.{room}":
                raise
            continue
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            entry = getattr(importlib.import_module(info.name), "ENTRY", None)
            if isinstance(entry, Entry):
                yield entry


def get(name: str) -> Entry:
    """The entry of this name.

    Raises:
      ValueError: there is none; the message shows the nearest name.
    """
    known = {entry.name: entry for entry in entries()}
    if name in known:
        return known[name]
    raise ValueError(unknown("method", name, known))


def from_name(name: str, **arguments: Any) -> Any:
    """The transformation or regularizer of this name, for configuration files and command lines.

    Args:
      name: a name of the catalogue, such as `"adamw"`.
      **arguments: those of the public function.

    Returns:
      What the public function of that name makes.

    Raises:
      ValueError: an unknown name, with the nearest one, or a value out of range.
      TypeError: an unknown argument, with the nearest one.

    Example:
      >>> import gradlab as gl
      >>> gl.from_name("sgd", learning_rate=0.1)
      sgd(learning_rate=0.1)
    """
    return get(name).function(**arguments)


@functools.cache
def bibliography() -> dict[str, dict[str, Any]]:
    """Papers by key: title, authors, year, venue or arXiv number with version."""
    text = resources.files("gradlab").joinpath("bibliography.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
