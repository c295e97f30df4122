"""The words that signatures are written in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import numpy as np

Scalar: TypeAlias = float | jax.Array | np.ndarray | np.floating
"""A real number: a Python number, or a traced or stacked array that stands for one."""

ScalarOrSchedule: TypeAlias = float | jax.Array | np.ndarray | np.floating | Callable[[Any], Any]
"""A real number, or a function from the step count to one."""

Params: TypeAlias = Any
Updates: TypeAlias = Any
Mask: TypeAlias = Any
"""A tree of bools (or a prefix of one), or a function from params to such a tree."""

DType: TypeAlias = Any
