"""Vectors to project, and the arrays that describe sets of them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gradlab import core


def vector(owner: str, x: Any) -> core.Operand:
    """One vector of real numbers, as an operand.

    Raises:
      TypeError: no array of real numbers.
      ValueError: not of one axis.
    """
    operand = core.Operand.of(owner, x, real=True)
    if len(operand.arrays) != 1 or operand.arrays[0].ndim != 1:
        shapes = [array.shape for array in operand.arrays]
        raise ValueError(f"{owner}: x has to be one vector; its arrays have shapes {shapes}")
    return operand


def described(operand: core.Operand, **arrays: tuple[Any, tuple[int | None, ...]]) -> list:
    """Arrays that describe a set, in the precision of the vector.

    Args:
      operand: the vector.
      **arrays: each argument and the shape that it has to have; None stands for any length.

    Raises:
      ValueError: another shape; the message names the argument.
    """
    found = []
    for name, (value, wanted) in arrays.items():
        array = jnp.asarray(value, operand.arrays[0].dtype)
        fits = array.ndim == len(wanted) and all(
            n in (None, m) for n, m in zip(wanted, array.shape, strict=True)
        )
        if not fits:
            shown = "(" + ", ".join("any" if n is None else str(n) for n in wanted) + ")"
            raise ValueError(f"{operand.owner}: {name} has shape {array.shape}, not {shown}")
        found.append(array)
    return found


def check_section(owner: str, low: Any, high: Any, w: Any, c: Any) -> None:
    """Raises where a box has no point on a hyperplane, as far as numbers are known."""
    if any(isinstance(v, Tracer) for v in (low, high, w, c)):
        return
    least, most, slack = w @ low, w @ high, 1e-5 * (1 + abs(c))
    if not (np.all(w > 0) and np.all(low <= high) and least - slack <= c <= most + slack):
        raise ValueError(
            f"{owner}: there is no such point: w has to be positive, upper not below lower, and "
            f"c={float(c)} in [{float(least)}, {float(most)}]"
        )


def span_and_solution(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Of A y = b: orthonormal rows that span those of A, and the solution in their span."""
    q, r = jnp.linalg.qr(a.T)
    least = jax.scipy.linalg.solve_triangular(r, b, trans="T", lower=False)
    return q.T, q @ least


def nearest(x: jax.Array, rows: jax.Array, solution: jax.Array) -> jax.Array:
    """The nearest point to x of the affine set that `span_and_solution` describes."""
    return x - (x @ rows.T) @ rows + solution


def indicator(violation: Any) -> Any:
    """Zero inside of a set, infinity outside of it, but for rounding in float64."""
    return jnp.where(violation <= 1e-9, 0.0, jnp.inf)
