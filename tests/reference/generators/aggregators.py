"""Curves of torchjd: one row of a curve is one stack of gradients and its aggregate."""

from __future__ import annotations

from functools import partial
from unittest import mock

import numpy as np
import torch
from torchjd.aggregation import PCGrad, UPGrad
from torchjd.linalg import QuadprogProjector

from . import problems
from .case import Arrays, Case

COUNT = 10
# rows, columns, rank, with zero rows
SHAPES = [(2, 3, 2, False), (3, 5, 3, False), (4, 4, 2, False), (6, 3, 3, False), (5, 8, 5, True)]


def _describe(rows: int, columns: int, rank: int, zero_rows: bool) -> tuple[str, np.ndarray]:
    values = problems.jacobians(COUNT, rows, columns, rank, zero_rows)
    said = {"rows": rows, "columns": columns, "rank": rank, "zero_rows": zero_rows}
    return problems.JACOBIANS.format(steps=COUNT, seed=problems.SEED, **said), values


def _arrays(values: np.ndarray, updates: list[torch.Tensor]) -> Arrays:
    stacked = torch.stack(updates).numpy()
    return {"gradients": values, "params": np.zeros(values.shape[-1]), "updates": stacked}


def _pcgrad(shape: tuple[int, int, int, bool]) -> tuple[str, Arrays]:
    """Permutations come from NumPy and are stored: orders[t, i] is the one for row i."""
    text, values = _describe(*shape)
    rows = shape[0]
    rng = np.random.default_rng([problems.SEED, 53, rows])
    orders = np.array([[rng.permutation(rows) for _ in range(rows)] for _ in values])
    updates = []
    for matrix, order in zip(values, orders, strict=True):
        draws = iter(torch.tensor(order))
        with mock.patch.object(torch, "randperm", lambda _, draws=draws: next(draws)):
            updates.append(PCGrad()(torch.tensor(matrix)))
    return text, _arrays(values, updates) | {"orders": orders.astype(np.int8)}


def _upgrad(
    shape: tuple[int, int, int, bool], norm_eps: float, reg_eps: float
) -> tuple[str, Arrays]:
    text, values = _describe(*shape)
    aggregate = UPGrad(projector=QuadprogProjector(norm_eps=norm_eps, reg_eps=reg_eps))
    return text, _arrays(values, [aggregate(torch.tensor(matrix)) for matrix in values])


def _variant(shape: tuple[int, int, int, bool]) -> str:
    return f"{shape[0]}x{shape[1]}"


def cases() -> list[Case]:
    pcgrad = partial(Case, "torchjd", "pcgrad", "torchjd.aggregation.PCGrad", atol=1e-11)
    upgrad = partial(Case, "torchjd", "upgrad", "torchjd.aggregation.UPGrad", rtol=1e-8, atol=1e-9)
    order = (
        "orders[t, i] is the order in which row i of stack t meets the rows (itself skipped).",
    )
    total = ("The projected gradients are summed, as in the paper's algorithm.",)
    eps = {"norm_eps": 1e-4, "reg_eps": 1e-4}
    regular = (
        "The Gramian is divided by its trace (zero if that is below norm_eps) and reg_eps is added "
        "to its diagonal; the paper has neither.",
    )
    exact = [shape for shape in SHAPES if shape[2] == shape[0] and not shape[3]]
    return [
        *(
            pcgrad({}, partial(_pcgrad, shape), variant=_variant(shape), notes=order + total)
            for shape in SHAPES
        ),
        *(
            upgrad(eps, partial(_upgrad, shape, **eps), variant=_variant(shape), notes=regular)
            for shape in SHAPES
        ),
        *(
            upgrad(
                {"norm_eps": 0.0, "reg_eps": 0.0},
                partial(_upgrad, shape, norm_eps=0.0, reg_eps=0.0),
                variant=f"{_variant(shape)}_exact",
            )
            for shape in exact
        ),
    ]
