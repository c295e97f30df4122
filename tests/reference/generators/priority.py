"""Curves of torchjd's PCD: one aggregator meets all stacks, whose lengths it averages."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torchjd.aggregation import PCD

from . import problems
from .case import Arrays, Case

COUNT = 10
SHAPES = {"3x5": (3, 5, 3, False), "5x8": (5, 8, 5, False)}  # rows, columns, rank, with zero rows


def _pcd(rows: int, columns: int, rank: int, zero_rows: bool) -> tuple[str, Arrays]:
    values = problems.jacobians(COUNT, rows, columns, rank, zero_rows)
    said = {"rows": rows, "columns": columns, "rank": rank, "zero_rows": zero_rows}
    text = problems.JACOBIANS.format(steps=COUNT, seed=problems.SEED, **said)
    aggregate = PCD(tau=0.3, beta=0.8, eps=1e-2)
    made = torch.stack([aggregate(torch.tensor(matrix)) for matrix in values]).numpy()
    params = np.zeros(values.shape[-1])
    return text, {"gradients": values, "params": params, "updates": made}


def cases() -> list[Case]:
    settings = {"tau": 0.3, "b2": 0.8, "eps_root": 1e-2}
    return [
        Case(
            "torchjd",
            "pcd",
            "torchjd.aggregation.PCD",
            settings,
            partial(_pcd, *shape),
            variant=name,
            rtol=1e-8,
            atol=1e-9,
        )
        for name, shape in SHAPES.items()
    ]
