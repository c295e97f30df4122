"""The inputs of the reference curves: gradient sequences, Jacobians and a logistic loss."""

from __future__ import annotations

import numpy as np

STEPS = 64
SEED = 20260713

SEQUENCE = (
    "Open loop: {steps} random gradients of shape {shape} (seed {seed}) with scales from 1e-4 to "
    "1e1, two coordinates that are always zero, one that wakes up at step 6, four steps of zeros, "
    "a tenfold spike and sudden sign flips; numbers have 11 significant bits."
)
JACOBIANS = (
    "{steps} random stacks of {rows} gradients in {columns} dimensions (seed {seed}), rank at most "
    "{rank}, zero rows: {zero_rows}; numbers have 11 significant bits before the rank is cut."
)
LOGISTIC = (
    "Closed loop: f(x) = mean(log(1 + exp(-labels * (features @ x)))) + 0.05 * x @ x "
    "with 20 random points in 6 dimensions (seed {seed}); gradients are taken at x."
)


def short(values: np.ndarray) -> np.ndarray:
    """Round to 11 significant bits: exact in every float type above, and small when compressed."""
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.round(mantissa * 2048) / 2048, exponent)


def gradient_sequence(shape: tuple[int, ...]) -> np.ndarray:
    """A sequence that visits what breaks optimizers: zeros, spikes, flips and six decades."""
    rng = np.random.default_rng([SEED, *shape])
    scale = 10.0 ** rng.uniform(-4.0, 1.0, shape)
    values = scale * (0.5 * rng.standard_normal(shape) + rng.standard_normal((STEPS, *shape)))
    flat = values.reshape(STEPS, -1)
    flat[:, [0, -1]] = 0.0
    flat[:5, 2] = 0.0
    flat[20:24] = 0.0
    flat[30] *= 10.0
    flat[40:, 1::3] *= -1.0
    return short(values)


def initial_params(shape: tuple[int, ...]) -> np.ndarray:
    return short(np.random.default_rng([SEED, 1, *shape]).standard_normal(shape))


def jacobians(count: int, rows: int, columns: int, rank: int, zero_rows: bool) -> np.ndarray:
    """Stacks of gradients; `rank` below the number of rows makes them linearly dependent."""
    rng = np.random.default_rng([SEED, rows, columns, rank])
    left = short(rng.standard_normal((count, rows, rank)))
    right = short(rng.standard_normal((count, rank, columns)))
    values = (
        left @ right
        if rank < min(rows, columns)
        else short(rng.normal(size=(count, rows, columns)))
    )
    values *= np.array([10.0 ** (i % 3 - 1) for i in range(count)])[:, None, None]
    if zero_rows:
        values[:, -1] = 0.0
        values[-1] = 0.0
    return values


def logistic_data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([SEED, 90])
    features = short(rng.standard_normal((20, 6)))
    labels = np.where(features @ np.arange(-2.0, 4.0) + rng.standard_normal(20) > 0, 1.0, -1.0)
    return features, labels
