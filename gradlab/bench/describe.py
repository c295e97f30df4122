"""What the catalogue knows of its methods, as plain data and as tables in a terminal."""

import dataclasses
import inspect
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from gradlab import catalog
from gradlab.bench import formats, memory
from gradlab.bench.errors import StudyError
from gradlab.testing import derivative_table

_TRAITS = {
    "regularizer": ("smooth", "kinks", "complex", "stochastic"),
    "hypergradient": ("stochastic", "biased"),
    "bilevel": ("stochastic",),
    "solver": (),
}
"""Traits that say something about functions that are no gradient transformations."""


def entries() -> tuple[catalog.Entry, ...]:
    """Returns every method of the catalogue by name."""
    return catalog.entries()


def find(name: str) -> catalog.Entry:
    """Finds a method.

    Args:
        name: its name.

    Returns:
        Its entry.

    Raises:
        StudyError: where there is none, with the nearest match.
    """
    try:
        return catalog.get(name)
    except ValueError as error:
        raise StudyError(str(error)) from None


def brief(entry: catalog.Entry) -> dict[str, Any]:
    """Describes a method in a few fields.

    Args:
        entry: the method.

    Returns:
        Plain data: what it is called, where it belongs, what it needs and promises.
    """
    return {
        "name": entry.name,
        "kind": entry.kind,
        "room": entry.room,
        "family": entry.family,
        "summary": entry.summary,
        "ids": list(entry.ids),
        "paper": list(entry.paper),
        "needs": list(entry.needs),
        "traits": dataclasses.asdict(entry.traits),
    }


def full(entry: catalog.Entry) -> dict[str, Any]:
    """Describes a method in full.

    Args:
        entry: the method.

    Returns:
        Plain data: what `brief` gives, and formula, papers, hyperparameters, state size, and how
        far hypergradients are from differences (None where that was not measured).
    """
    papers = catalog.bibliography()
    return {
        **brief(entry),
        "formula": entry.formula,
        "paper": [{"key": key, **papers.get(key, {})} for key in entry.paper],
        "hyperparameters": hyperparameters(entry),
        "state_bytes_per_parameter": state_bytes_per_parameter(entry),
        "hypergradient": derivative_table.rows().get(entry.name),
    }


def hyperparameters(entry: catalog.Entry) -> list[dict[str, Any]]:
    """Lists the arguments of a method.

    Args:
        entry: the method.

    Returns:
        For each its name, default (None where it must be given), the value in the catalogue's
        example, its range (None for what is not a number), and the range to search.
    """
    ranges = {name: str(interval) for name, interval in entry.ranges.items()}
    found = []
    for name, default in entry.defaults.items():
        required = default is inspect.Parameter.empty
        found.append(
            {
                "name": name,
                "required": required,
                "default": None if required else _plain(default),
                "example": _plain(entry.example.get(name)),
                "range": ranges.get(name),
                "search": _plain(entry.search_space.get(name)),
            }
        )
    return found


def state_bytes_per_parameter(entry: catalog.Entry) -> float | None:
    """Returns the size of the state for a float32 layer of 256 × 256 weights and 256 biases.

    None for what is not called with parameters alone.
    """
    if entry.kind not in ("transformation", "regularizer"):
        return None
    shapes = {
        "weights": jax.ShapeDtypeStruct((256, 256), jnp.float32),
        "bias": jax.ShapeDtypeStruct((256,), jnp.float32),
    }
    state = jax.eval_shape(entry.make().init, shapes)
    size = sum(int(np.prod(x.shape)) * x.dtype.itemsize for x in jax.tree.leaves(state))
    return size / sum(int(np.prod(shape.shape)) for shape in shapes.values())


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no infinity
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    return repr(value)


def print_list() -> None:
    """Prints every method as a table."""
    table = Table("name", "room", "family", "needs", "what it is", box=None, header_style="bold")
    for entry in entries():
        summary = entry.summary.rstrip(".")
        table.add_row(entry.name, entry.room, entry.family, ", ".join(entry.needs), summary)
    _console().print(table)


def print_entry(entry: catalog.Entry) -> None:
    """Prints all that is known of a method."""
    console, facts = _console(), full(entry)
    place = "/".join(part for part in (entry.room, entry.family) if part)
    console.print(f"[bold]{entry.name}[/bold] ({place})\n{entry.summary}\n")
    console.print(f"  {entry.formula}\n", markup=False)
    for paper in facts["paper"]:
        console.print(_citation(paper), markup=False)
    table = Table("hyperparameter", "default", "range", "search", box=None, header_style="bold")
    for item in facts["hyperparameters"]:
        default = "required" if item["required"] else str(item["default"])
        search = "" if item["search"] is None else "{} to {}, {}".format(*item["search"])
        table.add_row(item["name"], default, item["range"] or "", search)
    console.print()
    console.print(table)
    if facts["state_bytes_per_parameter"] is not None:
        state = f"{facts['state_bytes_per_parameter']:.3g} bytes per float32 parameter"
        console.print(f"\nstate: {state}")
    if facts["hypergradient"] is not None:
        errors = derivative_table.by_variable(facts["hypergradient"])
        console.print(f"hypergradients, relative to differences: {errors}", markup=False)
    transforms = entry.kind == "transformation"
    if transforms:
        console.print(f"gradients: {entry.traits.gradient_evaluations:g} a step")
    given = {"transformation": "gradients", "regularizer": "parameters"}.get(
        entry.kind, "a problem"
    )
    console.print(f"needs: {', '.join(entry.needs) or f'nothing but {given}'}")
    said = _TRAITS.get(entry.kind, facts["traits"])
    kept = {key: x for key, x in facts["traits"].items() if key in said}
    traits = [f"{key}={value}" for key, value in kept.items() if value != ""]
    if traits:
        console.print("traits: " + ", ".join(traits), markup=False)


def print_memory(rows: list[memory.Size], count: float) -> None:
    """Prints what parameters and state take, mode by mode.

    Args:
        rows: the modes.
        count: the parameters of the model.
    """
    table = Table("mode", box=None, header_style="bold")
    for heading in ("bytes a parameter", "state", "parameters", "state", "in all"):
        table.add_column(heading, justify="right")
    for row in rows:
        totals = (formats.size(x * count) for x in (row.parameters, row.state, row.total))
        table.add_row(row.mode, f"{row.parameters:.3g}", f"{row.state:.3g}", *totals)
    console = _console()
    console.print(f"\nmemory of {count:.4g} parameters, without gradients and activations:")
    console.print(table)


def _citation(paper: dict[str, Any]) -> str:
    authors = paper.get("authors", "")
    names = ", ".join(authors) if isinstance(authors, list) else authors
    where = paper.get("venue") or (f"arXiv:{paper['arxiv']}" if paper.get("arxiv") else "")
    parts = [names, paper.get("title", ""), str(where), str(paper.get("year", ""))]
    return f"[{paper['key']}] " + ". ".join(part for part in parts if part)


def _console() -> Console:
    # Wide enough where nobody looks: a pipe has no width, and a cut name is of no use.
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=240)
