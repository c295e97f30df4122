"""Keep the states of this release: python -m tests.states.make.

Run once for every release, before its version is tagged. What is written stays as it is for good:
later releases have to carry these states over.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

import gradlab as gl
from gradlab import catalog
from gradlab.testing._subject import Subject, problem_params

HERE = Path(__file__).resolve().parent
STEPS = 3


def as_dicts(state: Any) -> Any:
    """A state as nested dicts, as from a checkpoint that is read without a template."""
    if isinstance(state, tuple) and hasattr(state, "_fields"):
        return {name: as_dicts(getattr(state, name)) for name in state._fields}
    if isinstance(state, tuple | list):
        return {str(index): as_dicts(part) for index, part in enumerate(state)}
    if isinstance(state, dict):
        return {str(key): as_dicts(part) for key, part in state.items()}
    return state


def flattened(tree: Any, path: str = "") -> dict[str, np.ndarray]:
    """The arrays of nested dicts by path."""
    if isinstance(tree, dict):
        found: dict[str, np.ndarray] = {}
        for key, part in tree.items():
            found |= flattened(part, f"{path}/{key}")
        return found
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    named = [(jax.tree_util.keystr(at, simple=True, separator="/"), x) for at, x in leaves]
    return {f"{path}/{at}".strip("/"): np.asarray(x) for at, x in named}


def state_of(entry: Any) -> Any:
    """The state of an entry's example after a few steps."""
    subject, params = Subject.of(entry), problem_params()

    def step(state: Any, _: Any) -> tuple[Any, None]:
        extra = subject.required_extra(params)
        return subject.opt.update(subject.gradients(params), state, params, **extra)[1], None

    return jax.jit(lambda: jax.lax.scan(step, subject.opt.init(params), length=STEPS)[0])()


def main() -> None:
    arrays: dict[str, np.ndarray] = {}
    for entry in catalog.entries():
        if entry.kind == "transformation":
            arrays |= flattened(as_dicts(state_of(entry)), entry.name)
    path = HERE / f"{gl.__version__}.npz"
    np.savez_compressed(path, **arrays)
    print(f"{path}: {len(arrays)} arrays, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
