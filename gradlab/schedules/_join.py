"""Schedules one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import Scalar, hyper


class Joined(core.Schedule):
    """Each schedule from its boundary on, with a count of its own."""

    schedules: tuple[core.Schedule, ...] = hyper()
    boundaries: tuple[Scalar, ...] = hyper("[0, inf)")

    def __call__(self, count: Any) -> jax.Array:
        value = self.schedules[0](count)
        for boundary, schedule in zip(self.boundaries, self.schedules[1:], strict=True):
            value = jnp.where(count < boundary, value, schedule(count - boundary))
        return jnp.asarray(value)


def join_schedules(
    schedules: Sequence[Callable[[Any], Any]], boundaries: Sequence[Scalar]
) -> core.Schedule:
    """Schedules one after the other, each counting its steps from zero.

    Args:
      schedules: the parts.
      boundaries: the step at which each part but the first begins [steps].

    Returns:
      The schedule.

    Raises:
      ValueError: there is not one boundary fewer than there are schedules.
    """
    if len(boundaries) != len(schedules) - 1:
        raise ValueError(
            f"join_schedules: {len(schedules)} schedules need {len(schedules) - 1} boundaries, "
            f"got boundaries={list(boundaries)}"
        )
    joined = core.build(Joined, "join_schedules", boundaries=tuple(boundaries), schedules=())
    return joined.with_values(schedules=tuple(map(core.adopt_schedule, schedules)))


Joined.public = staticmethod(join_schedules)
