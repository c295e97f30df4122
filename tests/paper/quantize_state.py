"""Adam whose averages are kept in 8 or 4 bits between steps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

State = dict[str, np.ndarray]


def dynamic_map(signed: bool, exponent_bits: int) -> np.ndarray:
    """Dettmers et al. 2022, "8-bit Optimizers via Block-wise Quantization", section 1.3.

    Dynamic tree quantisation as the authors' library lays it out (`create_dynamic_map`): each
    exponent has equal intervals between 0.1 and 1, whose middles are the levels, and twice as many
    as the exponent below. Zero and one are added.
    """
    levels = [0.0, 1.0]
    for exponent in range(exponent_bits):
        intervals = 2**exponent if signed else 2 * 2**exponent
        edges = np.linspace(0.1, 1, intervals + 1)
        middles = 10.0 ** (exponent - exponent_bits + 1) * (edges[:-1] + edges[1:]) / 2
        levels += [*middles, *-middles] if signed else [*middles]
    return np.sort(np.array(levels))


def linear_map() -> np.ndarray:
    """Li et al. 2023, "Memory Efficient Optimizers with 4-bit States",
    section 4.1: (i + 1) / 16."""
    return np.arange(1, 17) / 16


def round_trip(x: np.ndarray, levels: np.ndarray, block_size: int) -> np.ndarray:
    """Section 2.1: each block is divided by its largest size and brought to the nearest levels.

    A departure: what is positive does not become zero where no level is negative.
    """
    found = []
    for start in range(0, x.size, block_size):
        block = x.reshape(-1)[start : start + block_size]
        scale = np.max(np.abs(block))
        if scale == 0:
            found.append(block)
            continue
        codes = np.argmin(np.abs(block[:, None] / scale - levels), axis=1)
        if levels[0] == 0:
            codes = np.where(block > 0, np.maximum(codes, 1), codes)
        found.append(scale * levels[codes])
    return np.concatenate(found).reshape(x.shape)


def quantize_state(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    learning_rate: float,
    bits: int,
    block_size: int,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
) -> Iterator[tuple[np.ndarray, State]]:
    """Dettmers et al. 2022, section 2: dequantise, step in full precision, quantise.

    States are those that the next step will read.
    """
    first = dynamic_map(True, 7 if bits == 8 else 3)
    second = dynamic_map(False, 7) if bits == 8 else linear_map()
    m, v = np.zeros_like(x), np.zeros_like(x)
    for t, g in enumerate(gradients, 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        update = -learning_rate * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
        m, v = round_trip(m, first, block_size), round_trip(v, second, block_size)
        yield update, {"mu": m, "nu": v}
