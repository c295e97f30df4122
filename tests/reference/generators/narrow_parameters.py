"""Curves of Kahan summation into float16 parameters."""

from __future__ import annotations

from typing import Any

import optimi
import torch

from .case import Arrays, Case
from .torch_run import drive

RATE = 2.0**-6


def _kahan() -> tuple[str, Arrays]:
    seen: list[torch.Tensor] = []

    def make(params: list[torch.Tensor]) -> Any:
        seen.extend(params)
        return optimi.SGD(params, lr=RATE, kahan_sum=True, triton=False, foreach=False)

    states = {"compensation": "kahan_comp", "params": lambda _: seen[0]}
    return drive(make, states=states, dtype=torch.float16, reads_params=True)


def cases() -> list[Case]:
    return [
        Case(
            "torch-optimi",
            "kahan_summation",
            "optimi.SGD",
            {"learning_rate": RATE},
            _kahan,
            dtype="float16",
            notes=(
                "Around gradient descent. The step and its sum with what was cut off before are "
                "rounded to 16 bits, too, as in the paper.",
            ),
        )
    ]
