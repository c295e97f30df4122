"""One curve to be made, and what is known about its agreement with the paper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """`run` returns the sentence that describes the problem, and the arrays to store."""

    package: str
    method: str
    function: str
    settings: dict[str, Any]
    run: Callable[[], tuple[str, Arrays]]
    variant: str = ""
    dtype: str = "float64"
    departures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    rtol: float = 1e-10
    atol: float = 0.0
    agrees: bool = True
    checkout: str = ""

    @property
    def name(self) -> str:
        parts = (self.package.replace("-", "_"), self.method, self.variant)
        return "_".join(part for part in parts if part)
