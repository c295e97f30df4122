"""Hebbian learning based orthogonal projection."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

State = dict[str, np.ndarray]


def hebbian_orthogonal_projection(
    deltas: Iterable[np.ndarray],
    inputs: Iterable[np.ndarray],
    rows: np.ndarray,
    *,
    rank: int,
    task_starts: tuple[int, ...],
    hebbian_rate: float,
    hebbian_momentum: float,
    hebbian_steps: int,
) -> Iterator[tuple[np.ndarray, State]]:
    """Xiao et al. 2024, arXiv:2402.11984v1, with the details of the authors' `HLOP`.

    `deltas` are gradients by the outputs of a layer of weights (inputs, outputs), `rows` the
    first lateral weights H, `rank` of them for each task. What is projected is the layer's
    input. Subspaces of earlier tasks are fixed and are part of the reconstruction.
    """
    momentum = np.zeros_like(rows)
    for t, (delta, x) in enumerate(zip(deltas, inputs, strict=True)):
        task = sum(t >= start for start in task_starts)
        done, new = slice(0, task * rank), slice(task * rank, (task + 1) * rank)
        trace = x - x @ rows[done].T @ rows[done]
        gradient = trace.T @ delta
        for _ in range(hebbian_steps):
            live = rows[: (task + 1) * rank]
            y = x @ live.T
            step = np.clip(y.T @ (x - y @ live) / len(x), -10, 10)[new]
            momentum[new] = hebbian_momentum * momentum[new] + (1 - hebbian_momentum) * step
            rows = rows.copy()
            rows[new] += hebbian_rate * momentum[new]
        yield gradient, {"subspace": rows.copy(), "mu": momentum.copy()}
