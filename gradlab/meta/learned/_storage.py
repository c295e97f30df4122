"""Learned optimizers on disk."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import jax
import numpy as np

from gradlab.core import Transform, data_of, unknown
from gradlab.meta.learned._learned_mlp import learned_mlp
from gradlab.meta.learned._learned_rnn import learned_rnn

KNOWN = {"learned_mlp": learned_mlp, "learned_rnn": learned_rnn}
FILE = "optimizer"


def _orbax(owner: str) -> Any:
    try:
        import orbax.checkpoint as orbax
    except ImportError as error:
        raise ImportError(f"{owner} needs orbax: pip install 'gradlab[checkpoints]'") from error
    return orbax


def save_learned(path: Path | str, opt: Transform) -> None:
    """Writes a learned optimizer, weights and numbers, as an orbax checkpoint.

    Args:
      path: an absolute path of a folder; one that is there is replaced.
      opt: what `learned_mlp` or `learned_rnn` made, or a meta-update of it.

    Raises:
      ImportError: orbax is not installed; the message names the extra.
      TypeError: it is no learned optimizer, or holds what is no number: a schedule, a mask.

    Example:
      >>> import gradlab as gl, jax, tempfile
      >>> opt = gl.meta.learned_rnn(gl.meta.rnn_weights(jax.random.key(0)))
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     gl.meta.save_learned(f"{folder}/opt", opt)
      ...     gl.meta.load_learned(f"{folder}/opt") == opt
      True
    """
    rule = data_of(opt)
    name = rule.owner() if isinstance(opt, Transform) else repr(opt)
    if name not in KNOWN:
        raise TypeError(f"save_learned: {name} is no learned optimizer ({', '.join(KNOWN)})")
    if rule.mask is not None:
        raise TypeError("save_learned: a mask is code and is not saved: give it after loading")
    fields = {field: getattr(rule, field) for field in rule.hyper_names}
    for field, value in fields.items():
        if callable(value):
            raise TypeError(f"save_learned: {field}={value!r} is a schedule, not a number")
    # Orbax has no tuples and no None.
    stored = {field: _stored(value) for field, value in fields.items() if value is not None}
    checkpointer = _orbax("save_learned").PyTreeCheckpointer()
    checkpointer.save(Path(path) / FILE, {name: stored}, force=True)


def _stored(value: Any) -> Any:
    if isinstance(value, tuple):
        value = {f"{i}": item for i, item in enumerate(value)}
    return jax.tree.map(np.asarray, value)


def load_learned(path: Path | str) -> Transform:
    """Reads a learned optimizer that `save_learned` wrote.

    Args:
      path: the absolute path of the folder.

    Returns:
      The optimizer, like any other: its arrays in single precision unless 64-bit numbers are
      on.

    Raises:
      ImportError: orbax is not installed; the message names the extra.
      FileNotFoundError: there is nothing at the path.
      ValueError: what is there is no learned optimizer.
    """
    orbax = _orbax("load_learned")
    if not (Path(path) / FILE).exists():
        raise FileNotFoundError(f"load_learned: there is no learned optimizer at {path}")
    (found,) = orbax.PyTreeCheckpointer().restore(Path(path) / FILE).items()
    name, fields = found
    if name not in KNOWN:
        raise ValueError(f"load_learned: {unknown('learned optimizer', name, KNOWN)}")
    annotations = inspect.signature(KNOWN[name]).parameters
    values = {field: _restored(value, annotations[field]) for field, value in fields.items()}
    return KNOWN[name](**values)


def _restored(value: Any, parameter: inspect.Parameter) -> Any:
    if isinstance(value, dict) and "tuple" in str(parameter.annotation):
        return tuple(value[f"{i}"] for i in range(len(value)))
    return value
