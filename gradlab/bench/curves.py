"""What the curves of trials say: where they end, and where they stop being finite."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa


def by_trial(table: pa.Table, column: str, trials: Sequence[int]) -> list[tuple]:
    """Splits one column of a table of curves by trial.

    Args:
        table: rows of trial, step, loss and value; a column is null where a row is about another.
        column: `loss` or `value`.
        trials: the numbers of the trials.

    Returns:
        For each trial its steps (int64) and the column's values there (float64), by step.
    """
    kept = table.filter(table[column].is_valid())
    owner = kept["trial"].to_numpy()
    steps = kept["step"].to_numpy().astype(np.int64)
    values = kept[column].to_numpy().astype(np.float64)
    order = np.lexsort((steps, owner))
    owner, steps, values = owner[order], steps[order], values[order]
    starts = np.searchsorted(owner, trials, side="left")
    ends = np.searchsorted(owner, trials, side="right")
    return [(steps[a:b], values[a:b]) for a, b in zip(starts, ends, strict=True)]


def final_values(table: pa.Table, trials: Sequence[int]) -> np.ndarray:
    """Returns the last value of the metric of each trial."""
    return np.array([values[-1] for _, values in by_trial(table, "value", trials)])


def diverged_at(table: pa.Table, trials: Sequence[int]) -> list[int | None]:
    """Returns for each trial the first step whose loss or metric is not finite, or None."""
    losses, values = by_trial(table, "loss", trials), by_trial(table, "value", trials)
    return [_first_bad(*loss, *value) for loss, value in zip(losses, values, strict=True)]


def _first_bad(
    loss_steps: np.ndarray, losses: np.ndarray, value_steps: np.ndarray, values: np.ndarray
) -> int | None:
    bad = [*loss_steps[~np.isfinite(losses)], *value_steps[~np.isfinite(values)]]
    return int(min(bad)) if bad else None
