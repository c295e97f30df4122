"""What this machine can do at most, measured in the same run as everything else."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import in_turns

_VALUES = 32 * 2**20  # 128 MiB an array: far beyond a core's own cache
_TINY = 2**14
_MATRIX = 2048


@dataclasses.dataclass(frozen=True)
class Limits:
    """Attainable rates.

    Attributes:
      copy: of reading an array and writing one of the same size, in place [bytes/s]; both
        directions count.
      read: of reading alone, by the sum of squares of an array [bytes/s].
      matmul: of a float32 product of two square matrices [FLOP/s].
    """

    copy: float
    read: float
    matmul: float


def measure(tiny: bool = False, repetitions: int = 15) -> Limits:
    """Measures the limits: the median of some repetitions."""
    values, side = (_TINY, 64) if tiny else (_VALUES, _MATRIX)
    draw = np.random.default_rng(0)
    x = jnp.asarray(draw.standard_normal(values, dtype=np.float32))
    a = jnp.asarray(draw.standard_normal((side, side), dtype=np.float32))
    square_sum, product = jax.jit(lambda x: jnp.sum(x * x)), jax.jit(lambda a: a @ a)
    calls: dict[str, Callable[[], object]] = {
        "copy": _scaling(jnp.array(x)),
        "read": lambda: square_sum(x).block_until_ready(),
        "matmul": lambda: product(a).block_until_ready(),
    }
    took = {name: float(np.median(t)) for name, t in in_turns(calls, repetitions).items()}
    return Limits(
        2 * x.nbytes / took["copy"], x.nbytes / took["read"], 2 * side**3 / took["matmul"]
    )


def _scaling(x: jax.Array) -> Callable[[], None]:
    double = jax.jit(lambda x: x * -1.0, donate_argnums=0)
    carry = [x]

    def once() -> None:
        carry[0] = double(carry[0]).block_until_ready()

    return once
