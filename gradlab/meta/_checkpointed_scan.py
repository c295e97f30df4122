"""A scan that keeps less for its derivative than every step's intermediate results.

Reverse differentiation of a scan stores, for every step, what the derivative of that step reads.
Cut into segments, it stores the carry at the beginning of each, and what the steps of one segment
need, which is computed again from there: for n steps and segments of √n, memory grows with √n and
every step runs once more.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Literal

Step = Callable[[Any, Any, Any], tuple[Any, Any]]
"""`(constants, carry, x) -> (carry, y)`."""

MODES = ("plain", "segments", "steps")


class Plan(NamedTuple):
    """What is stored, and what is computed again.

    Attributes:
      segment: how many steps are one segment; all of them: none is computed again.
      each_step: whether a step of a segment stores its carry only.
    """

    segment: int
    each_step: bool


def scan(step: Step, constants: Any, carry: Any, xs: Any, steps: int, plan: Plan) -> Any:
    """`lax.scan`, storing what the plan says.

    Args:
      step: the step.
      constants: what every step is given.
      carry: what goes from one step to the next.
      xs: arrays with a leading axis of steps.
      steps: how many there are.
      plan: what to store.

    Returns:
      The last carry, and what the steps gave beside it, stacked.
    """

    def one(carry: Any, x: Any) -> tuple[Any, Any]:
        return step(constants, carry, x)

    if plan.each_step:
        one = jax.checkpoint(one, prevent_cse=False)

    def run(carry: Any, xs: Any) -> tuple[Any, Any]:
        return lax.scan(one, carry, xs)

    if plan.segment >= steps:
        return run(carry, xs)
    whole, rest = divmod(steps, plan.segment)
    cut = whole * plan.segment
    segments = jax.tree.map(lambda x: x[:cut].reshape(whole, plan.segment, *x.shape[1:]), xs)
    carry, ys = lax.scan(jax.checkpoint(run, prevent_cse=False), carry, segments)
    ys = jax.tree.map(lambda y: y.reshape(cut, *y.shape[2:]), ys)
    if rest:
        carry, last = jax.checkpoint(run)(carry, jax.tree.map(lambda x: x[cut:], xs))
        ys = jax.tree.map(lambda y, z: jnp.concatenate([y, z]), ys, last)
    return carry, ys


def plan_for(
    memory: str | int, step: Step, constants: Any, carry: Any, xs: Any, steps: int, owner: str
) -> Plan:
    """The plan that a user's word or number of bytes stands for.

    Raises:
      TypeError: `memory` is neither a word nor a whole number.
      ValueError: it is an unknown word, or fewer bytes than the least that is possible.
    """
    if isinstance(memory, str) and memory in MODES:
        segment = segment_length(steps) if memory == "segments" else steps
        return Plan(segment, memory == "steps")
    words = ", ".join(map(repr, MODES))
    if isinstance(memory, str):
        raise ValueError(f"{owner}: memory has to be {words} or a number of bytes, got {memory!r}")
    if isinstance(memory, bool) or not isinstance(memory, int | np.integer):
        raise TypeError(
            f"{owner}: memory has to be {words} or a whole number of bytes, got {memory!r}"
        )
    if memory < 1:
        raise ValueError(f"{owner}: memory has to be at least 1 byte, got {memory}")
    return within(int(memory), *stored_bytes(step, constants, carry, xs), steps, owner)


def segment_length(steps: int) -> int:
    """The length of segments of about √n steps, without a rest where n has such a divisor.

    A rest is one more copy of the step in the program, so that a divisor is taken whose segments
    store at most a quarter more than √n of them.
    """
    root = math.isqrt(steps - 1) + 1
    near = [d for d in range(1, steps + 1) if steps % d == 0 and d + steps // d <= 2.5 * root]
    return min(near, key=lambda d: (d + steps // d, d), default=root)


def within(budget: int, carry: int, residuals: int, steps: int, owner: str) -> Plan:
    """The plan that computes the least again among those that store at most `budget` bytes.

    Args:
      budget: the bytes.
      carry: bytes of the carry.
      residuals: bytes that the derivative of one step reads.
      steps: how many steps there are.
      owner: who asks, for messages.

    Raises:
      ValueError: the least that is possible is more.
    """

    def stored(per_step: int, once: int) -> list[tuple[int, int]]:
        lengths = range(1, steps + 1)
        return [(-(-steps // n) * carry + n * per_step + once, n) for n in lengths]

    def fitting(per_step: int, once: int = 0) -> int | None:
        """The length of the segments that store least, without a rest where such ones fit."""
        fits = [(least, n) for least, n in stored(per_step, once) if least <= budget]
        divided = [(least, n) for least, n in fits if steps % n == 0]
        return min(divided or fits)[1] if fits else None

    if steps * residuals <= budget:
        return Plan(steps, False)
    if length := fitting(residuals):
        # Segments of one step are nothing but steps that store their carry.
        return Plan(steps, True) if length == 1 else Plan(length, False)
    if length := fitting(carry, residuals):
        return Plan(length, True)
    least, length = min(stored(carry, residuals))
    raise ValueError(
        f"{owner}: memory={budget} bytes are too few for {steps} steps: the carry (parameters and "
        f"optimizer's state) has {carry} bytes and the derivative of one step reads {residuals}, "
        f"so that at least {least} bytes are needed, in segments of {length} steps"
    )


def stored_bytes(step: Step, constants: Any, carry: Any, xs: Any) -> tuple[int, int]:
    """Bytes of the carry, and bytes that the derivative of one step reads and a scan would store.

    What is the same at every step, and what the scan is given anyway, is not stored again.
    """

    def residuals(constants: Any, carry: Any, x: Any) -> list[Any]:
        return jax.tree.leaves(jax.vjp(step, constants, carry, x)[1])

    first = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), xs)
    program = jax.make_jaxpr(residuals)(constants, carry, first).jaxpr
    inputs = program.invars[len(jax.tree.leaves(constants)) :]
    given = set(inputs[len(jax.tree.leaves(carry)) :])
    changing = set(inputs)
    for equation in program.eqns:
        if any(v in changing for v in equation.invars if not isinstance(v, Literal)):
            changing.update(equation.outvars)
    kept = {v for v in program.outvars if not isinstance(v, Literal)} & changing - given
    return _bytes(jax.tree.leaves(carry)), _bytes([v.aval for v in kept])


def _bytes(arrays: list[Any]) -> int:
    return sum(math.prod(jnp.shape(x)) * jnp.result_type(x).itemsize for x in arrays)
