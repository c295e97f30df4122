"""Read what other packages computed, as stored; needs nothing but NumPy."""

from __future__ import annotations

import ast
import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
CURVES, VALUES = HERE / "curves", HERE / "values"
SHARED = ("case", "problems", "torch_run")


@dataclass(frozen=True, eq=False)
class Origin:
    """Where numbers come from, and what is known about their agreement with the paper."""

    name: str
    package: str
    version: str
    function: str
    method: str
    settings: dict[str, Any]
    problem: str
    dtype: str
    departures: tuple[str, ...]
    notes: tuple[str, ...]
    agrees: bool
    rtol: float
    atol: float
    generator: str
    generator_sha256: str


@dataclass(frozen=True, eq=False)
class Curve(Origin):
    """What another package did, step by step, with a stored sequence of gradients.

    `gradients[t]` was fed at step `t`, whatever the parameters were; `updates[t]` is what the
    package added to them. `states[name][t]` is the state after that step. `extra` holds arrays that
    only some methods have (projection orders, random draws, the data of a loss function).
    """

    gradients: np.ndarray
    params: np.ndarray
    updates: np.ndarray
    states: dict[str, np.ndarray]
    extra: dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Values(Origin):
    """What another package made of stored numbers where no updates are the result.

    Derivatives of a training run, solutions, the points that a solver went through: `arrays` holds
    what was given and what was found, and `problem` says which is which.
    """

    arrays: dict[str, np.ndarray]

    def compare(self, found: dict[str, Any]) -> None:
        """Raises where a number differs by more than `rtol` times the largest one of its array."""
        for name, ours in found.items():
            theirs = self.arrays[name]
            allowed = self.rtol * np.max(np.abs(theirs))
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=allowed, err_msg=name)


@functools.cache
def current_hash(generator: str) -> str:
    """SHA-256 over the sources that make a curve.

    Those are the generator's own module, what all of them share, and what it imports besides.
    """
    digest = hashlib.sha256()
    for name in (generator, *SHARED, *_borrowed(generator)):
        source = (HERE / "generators" / f"{name}.py").read_bytes()
        digest.update(name.encode() + b"\0" + source + b"\0")
    return digest.hexdigest()


def _borrowed(generator: str) -> list[str]:
    """The modules beside a generator that it imports and others do not share."""
    source = (HERE / "generators" / f"{generator}.py").read_text()
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            found |= {node.module} if node.module else {alias.name for alias in node.names}
    return sorted(found - set(SHARED))


def read(path: Path) -> Curve | Values:
    """One stored file."""
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    meta = json.loads(str(arrays.pop("meta"))) | {"name": path.stem}
    meta["departures"], meta["notes"] = tuple(meta["departures"]), tuple(meta["notes"])
    if path.parent.name == VALUES.name:
        return Values(**meta, arrays=arrays)
    main = {name: arrays.pop(name) for name in ("gradients", "params", "updates")}
    prefix = "state_"
    states = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
    extra = {k: v for k, v in arrays.items() if not k.startswith(prefix)}
    return Curve(**meta, **main, states=states, extra=extra)


@functools.cache
def _all(folder: Path) -> tuple[Any, ...]:
    return tuple(read(path) for path in sorted(folder.glob("*.npz")))


def curves(method: str | None = None) -> list[Curve]:
    """Every stored curve, or those of one method, sorted by file name."""
    return [curve for curve in _all(CURVES) if method in (None, curve.method)]


def values(method: str | None = None) -> list[Values]:
    """Every other stored result, or those of one method, sorted by file name."""
    return [found for found in _all(VALUES) if method in (None, found.method)]
