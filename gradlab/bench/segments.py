"""Finished segments on disk: each appears whole or not at all.

A segment is a folder with the segment's curves in Parquet and the state that the next segment
starts from. It is written under another name, synchronised, and renamed in one step, so that a
process killed at any moment leaves either a finished segment or nothing that counts.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gradlab.bench.errors import StudyError

_CURVES = "curves.parquet"
_STATE = "state.npz"


def finished(folder: Path) -> int:
    """Returns how many segments of a group are finished."""
    count = 0
    while (folder / _name(count) / _CURVES).is_file():
        count += 1
    return count


def write(
    folder: Path, index: int, curves: pa.Table, facts: dict[str, Any], state: Any | None
) -> None:
    """Makes a segment finished.

    Args:
        folder: the group's folder.
        index: the segment's number, from 0.
        curves: its table of curves.
        facts: what else is known of it, as plain data.
        state: the tree of arrays that the next segment starts from; None after the last one.
    """
    temporary = folder / f"{_name(index)}.{os.getpid()}.writing"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    metadata = {b"gradlab": json.dumps(facts).encode()}
    pq.write_table(curves.replace_schema_metadata(metadata), temporary / _CURVES)
    _synchronise(temporary / _CURVES)
    if state is not None:
        _save(temporary / _STATE, state)
    _synchronise(temporary)
    try:
        temporary.rename(folder / _name(index))
    except OSError:
        # Another process that had taken the claim over was faster; its segment is the same.
        shutil.rmtree(temporary, ignore_errors=True)
        if not (folder / _name(index) / _CURVES).is_file():
            raise
    _synchronise(folder)
    if index > 0:
        with contextlib.suppress(FileNotFoundError):
            (folder / _name(index - 1) / _STATE).unlink()


def read_state(folder: Path, index: int, like: Any) -> Any:
    """Reads the state at the end of a segment.

    Args:
        folder: the group's folder.
        index: the segment's number.
        like: a tree of arrays or shapes with the structure of the state.

    Returns:
        The tree of arrays, bit for bit as it was written.

    Raises:
        StudyError: where the stored state has another structure.
    """
    path = folder / _name(index) / _STATE
    leaves, structure = jax.tree.flatten(like)
    with np.load(path) as stored:
        parts = [stored[f"leaf{i}"] for i in range(len(stored.files))]
    sizes = [int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in leaves]
    if [part.size for part in parts] != sizes:
        raise StudyError(
            f"{path} was written by another version of this program: its arrays do not fit; "
            "start the study again in another directory"
        )
    pairs = zip(parts, leaves, strict=True)
    # Bytes, because NumPy's format does not know bfloat16 and its like.
    arrays = [part.view(leaf.dtype).reshape(leaf.shape) for part, leaf in pairs]
    return jax.tree.unflatten(structure, arrays)


def read_curves(folder: Path) -> tuple[pa.Table | None, list[dict[str, Any]]]:
    """Reads the curves of all finished segments of a group.

    Args:
        folder: the group's folder.

    Returns:
        One table, None where nothing is finished, and the facts of every segment.
    """
    tables: list[pa.Table] = []
    facts: list[dict[str, Any]] = []
    for index in range(finished(folder)):
        table = pq.read_table(folder / _name(index) / _CURVES)
        facts.append(json.loads((table.schema.metadata or {})[b"gradlab"]))
        tables.append(table.replace_schema_metadata(None))
    return (pa.concat_tables(tables) if tables else None), facts


def curves_table(
    trials: Sequence[int], first: int, losses: np.ndarray, values: dict[int, np.ndarray]
) -> pa.Table:
    """Makes the table of a segment's curves.

    Args:
        trials: numbers of the trials.
        first: step of the first loss.
        losses: `[trials, steps]`, the training loss before each step.
        values: step -> `[trials]`, the metric after that many steps.

    Returns:
        One row per trial and step with a loss, and one per trial and evaluation with a value.
    """
    steps = np.arange(first, first + losses.shape[1])
    blank = [None] * len(trials)
    parts = [
        _part(np.repeat(trials, len(steps)), np.tile(steps, len(trials)), losses.ravel(), None)
    ]
    for step, value in values.items():
        parts.append(_part(trials, np.full(len(trials), step), blank, value))
    return pa.concat_tables(parts)


def _part(trials: Any, steps: Any, losses: Any, values: Any) -> pa.Table:
    count = len(trials)
    columns = {
        "trial": pa.array(trials, pa.int32()),
        "step": pa.array(steps, pa.int32()),
        "loss": pa.array(losses, pa.float32()),
        "value": pa.nulls(count, pa.float32())
        if values is None
        else pa.array(values, pa.float32()),
    }
    return pa.table(columns)


def clean(folder: Path) -> None:
    """Removes what killed processes left half written; only a group's owner may call it."""
    for path in folder.glob("*.writing"):
        shutil.rmtree(path, ignore_errors=True)


def write_atomically(path: Path, content: str) -> None:
    """Writes a text file that is, at every moment, its old content or its new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(content, encoding="utf-8")
    _synchronise(temporary)
    temporary.replace(path)
    _synchronise(path.parent)


def _name(index: int) -> str:
    return f"segment-{index:05d}"


def _save(path: Path, state: Any) -> None:
    leaves = [np.ascontiguousarray(leaf) for leaf in jax.tree.leaves(state)]
    parts = {f"leaf{i}": leaf.reshape(-1).view(np.uint8) for i, leaf in enumerate(leaves)}
    with path.open("wb") as file:
        # A type checker thinks that any keyword may be `allow_pickle`; the names say otherwise.
        np.savez(file, **parts)  # pyright: ignore[reportArgumentType]
        file.flush()
        os.fsync(file.fileno())


def _synchronise(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
