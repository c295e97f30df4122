"""What the compiler says of one step of every method of the catalogue. It has no noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optax

from benchmarks.limits import Limits
from benchmarks.table import Row, Table, field
from gradlab import catalog, testing

_SMALL = 2**14
_OBJECTIVES = 3
_WIDTH = 2**12
_NOTHING = 0.25
_FOR_PAIRS = ("lookahead",)  # in optax it steps pairs of fast and slow parameters


def temporaries(limits: Limits, tiny: bool, notify: Callable[[str], None]) -> list[Table]:
    """Temporaries and traffic of a compiled step, ours and optax's."""
    del limits
    notify("what the compiler says of every step")
    size = _SMALL if tiny else testing.SIZE
    entries = [entry for entry in catalog.entries() if entry.kind == "transformation"]
    rows = [_row(entry, size) for entry in entries]
    number = "{:.2f}".format
    columns = (
        field("method", "method"),
        field("elementwise", "elementwise", lambda x: "yes" if x else "no"),
        field("temporaries", "temporaries", number),
        field("optax's", "optax_temporaries", number),
        field("arrays moved", "moved", "{:.1f}".format),
        field("optax's", "optax_moved", "{:.1f}".format),
        field("why it stores any", "reason"),
    )
    notes = (
        f"A donated step of update and apply on one float32 array of {size:,} elements, in "
        "multiples of that array. Matrix methods treat it as they treat a vector; wrappers are "
        "those of the catalogue's examples."
    )
    return [Table("Temporaries", notes, columns, rows)]


def _row(entry: catalog.Entry, size: int) -> Row:
    opt, stacked = entry.make(), "stacked" in entry.needs
    settings = {
        "objectives": _OBJECTIVES if stacked else None,
        "required": opt.rule.required(),
        "more": entry.extra,
    }
    row: Row = {"method": entry.name, "elementwise": entry.traits.elementwise}
    # What reads the inputs of layers needs an array that has some.
    shape = (size // _WIDTH, _WIDTH) if "inputs" in entry.needs else (size,)
    row |= _described(testing.compiled_step(opt, shape, **settings), size, "")
    theirs = _of_optax(entry)
    if theirs is not None:
        extra = {"required": settings["required"], "more": entry.extra}
        row |= _described(testing.compiled_step(theirs, size, **extra), size, "optax_")
    return row | {"reason": entry.traits.temporaries or _generic_reason(entry, row)}


def _generic_reason(entry: catalog.Entry, row: Row) -> str:
    if entry.traits.elementwise or row["temporaries"] <= _NOTHING:
        return ""
    return "not elementwise: what depends on several numbers is stored before it is used"


def _described(program: Any, size: int, prefix: str) -> Row:
    moved = program.cost_analysis()["bytes accessed"] / (4 * size)
    return {f"{prefix}temporaries": testing.temporaries(program, size), f"{prefix}moved": moved}


def _of_optax(entry: catalog.Entry) -> Any:
    """optax's method of this name, None where it has none that takes the same arguments."""
    if entry.name in _FOR_PAIRS:
        return None
    for namespace in (optax, optax.contrib):
        function = getattr(namespace, entry.name, None)
        if function is not None:
            try:
                return function(**entry.example)
            except TypeError:
                return None
    return None
