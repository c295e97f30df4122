"""Curves of torchjd: one row of a curve is one stack of gradients and its aggregate."""

from __future__ import annotations

from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import torch
from torchjd import aggregation
from torchjd.aggregation import PCGrad, UPGrad
from torchjd.linalg import QuadprogProjector

from . import problems
from .case import Arrays, Case

COUNT = 10
# Shapes and ranks of torchjd's own tests: those of one shape make one curve.
OWN_SHAPES = {"4x3": [(4, 3, 1), (4, 3, 2), (4, 3, 3)], "9x11": [(9, 11, 5), (9, 11, 9)]}
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


def _own(shape: str) -> tuple[str, np.ndarray]:
    parts = [_describe(*dims, False) for dims in OWN_SHAPES[shape]]
    return " ".join(text for text, _ in parts), np.concatenate([values for _, values in parts])


def _each(name: str, shape: str, settings: dict[str, Any]) -> tuple[str, Arrays]:
    """A fresh aggregator for every stack."""
    text, values = _own(shape)
    made = [getattr(aggregation, name)(**settings)(torch.tensor(matrix)) for matrix in values]
    return text, _arrays(values, made)


def _constant(shape: str) -> tuple[str, Arrays]:
    text, values = _own(shape)
    weights = torch.linspace(0.5, 1.5, values.shape[1], dtype=torch.float64)
    aggregate = aggregation.Constant(weights)
    made = [aggregate(torch.tensor(matrix)) for matrix in values]
    return text, _arrays(values, made) | {"weights": weights.numpy()}


def _random(shape: str) -> tuple[str, Arrays]:
    """Normal draws come from NumPy and are stored: draws[t] is that for stack t."""
    text, values = _own(shape)
    draws = np.random.default_rng([problems.SEED, 1]).standard_normal(values.shape[:2])
    made = []
    for matrix, draw in zip(values, draws, strict=True):
        with mock.patch.object(torch, "randn", lambda *_, draw=draw, **__: torch.tensor(draw)):
            made.append(aggregation.Random()(torch.tensor(matrix)))
    return text, _arrays(values, made) | {"draws": draws}


def _graddrop(shape: str) -> tuple[str, Arrays]:
    """Uniform draws come from NumPy and are stored: draws[t] is that for stack t."""
    text, values = _own(shape)
    rng = np.random.default_rng([problems.SEED, 2])
    draws = rng.uniform(size=(len(values), values.shape[2]))
    leak = torch.linspace(0, 0.5, values.shape[1], dtype=torch.float64)
    made = []
    for matrix, draw in zip(values, draws, strict=True):
        with mock.patch.object(torch, "rand", lambda *_, draw=draw, **__: torch.tensor(draw)):
            made.append(aggregation.GradDrop(leak=leak)(torch.tensor(matrix)))
    return text, _arrays(values, made) | {"draws": draws, "leak": leak.numpy()}


def _gradvac(shape: str) -> tuple[str, Arrays]:
    """One aggregator meets all stacks, in orders that are stored (the row itself comes last)."""
    text, values = _describe(*OWN_SHAPES[shape][-1], False)
    rows = values.shape[1]
    rng = np.random.default_rng([problems.SEED, 3])
    places = np.array([[rng.permutation(rows - 1) for _ in range(rows)] for _ in values])
    aggregate, made = aggregation.GradVac(beta=0.3, eps=0.0), []
    for matrix, place in zip(values, places, strict=True):
        draws = iter(torch.tensor(place))
        with mock.patch.object(torch, "randperm", lambda _, draws=draws: next(draws)):
            made.append(aggregate(torch.tensor(matrix)))
    others = np.array([[j for j in range(rows) if j != i] for i in range(rows)])
    met = np.take_along_axis(np.broadcast_to(others, places.shape), places, axis=2)
    last = np.broadcast_to(np.arange(rows)[:, None], (*places.shape[:2], 1))
    orders = np.concatenate([met, last], axis=2).astype(np.int8)
    return text, _arrays(values, made) | {"orders": orders}


def _weighting(name: str, shape: str, settings: dict[str, Any]) -> tuple[str, Arrays]:
    """One stateful weighting meets the Gramians of all stacks."""
    text, values = _own(shape)
    weigh, made = getattr(aggregation, name)(**settings), []
    for matrix in values:
        stack = torch.tensor(matrix)
        made.append(weigh(stack @ stack.T) @ stack)
    return text, _arrays(values, made)


def _excess_mtl(shape: str, settings: dict[str, Any]) -> tuple[str, Arrays]:
    """One aggregator meets all stacks, divided by ten so that the weights stay moderate."""
    text, values = _own(shape)
    values = values / 16
    aggregate = aggregation.ExcessMTL(**settings)
    made = [aggregate(torch.tensor(matrix)).clone() for matrix in values]
    return text + " All divided by 16.", _arrays(values, made)


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
        *_torchjd_cases(),
    ]


def _torchjd_cases() -> list[Case]:
    found = []
    for shape in OWN_SHAPES:

        def case(method: str, function: str, run: Any, settings: Any = None, **more: Any) -> None:
            made = f"torchjd.aggregation.{function}"
            tolerance = {"rtol": 1e-8, "atol": 1e-9} | more
            found.append(
                Case("torchjd", method, made, settings or {}, run, variant=shape, **tolerance)  # noqa: B023
            )

        case("mean_gradient", "Mean", partial(_each, "Mean", shape, {}))
        case("sum_gradient", "Sum", partial(_each, "Sum", shape, {}))
        case("constant_weights", "Constant", partial(_constant, shape))
        case("random_weights", "Random", partial(_random, shape))
        case("graddrop", "GradDrop", partial(_graddrop, shape))
        case("imtl_g", "IMTLG", partial(_each, "IMTLG", shape, {}))
        case("config", "ConFIG", partial(_each, "ConFIG", shape, {}), atol=1e-8)
        case("gradvac", "GradVac", partial(_gradvac, shape), {"b1": 0.7, "eps": 0.0})
        for n_selected in (1, 2):
            # With one neighbour the nearest two have the same score.
            settings = {"n_byzantine": int(shape == "9x11"), "n_selected": n_selected}
            run = partial(_each, "Krum", shape, settings)
            note = ("Distances are summed, not their squares as in the paper.",)
            full = settings | {"squared": False}
            made = Case(
                "torchjd",
                "krum",
                "torchjd.aggregation.Krum",
                full,
                run,
                variant=f"{shape}_{n_selected}",
                rtol=1e-12,
                notes=note,
            )
            found.append(made)
        case(
            "trimmed_mean",
            "TrimmedMean",
            partial(_each, "TrimmedMean", shape, {"trim_number": 1}),
            {"trim_number": 1},
        )
        eps = {"norm_eps": 1e-4, "reg_eps": 1e-4}
        case("dualproj", "DualProj", partial(_each, "DualProj", shape, {}), eps)
        case(
            "mgda",
            "MGDA",
            partial(_each, "MGDA", shape, {"epsilon": 1e-9, "max_iters": 2000}),
            rtol=2e-2,
            atol=2e-2,
            notes=("Frank and Wolfe's iterations, stopped after 2000.",),
        )
        case(
            "cagrad",
            "CAGrad",
            partial(_each, "CAGrad", shape, {"c": 0.5}),
            {"c": 0.5},
            rtol=5e-5,
            atol=5e-5,
            notes=("A conic solver, to its own tolerance.",),
        )
        for mode in ("min", "median", "rmse"):
            found.append(
                Case(
                    "torchjd",
                    "aligned_mtl",
                    "torchjd.aggregation.AlignedMTL",
                    {"scale_mode": mode},
                    partial(_each, "AlignedMTL", shape, {"scale_mode": mode}),
                    variant=f"{shape}_{mode}",
                    rtol=1e-7,
                    atol=1e-8,
                )
            )
        case(
            "modo",
            "MoDoWeighting",
            partial(_weighting, "MoDoWeighting", shape, {"gamma": 0.02, "rho": 0.1}),
            {"step_size": 0.02, "rho": 0.1},
        )
        case(
            "sdmgrad",
            "SDMGradWeighting",
            partial(
                _weighting,
                "SDMGradWeighting",
                shape,
                {"lr": 0.5, "momentum": 0.5, "n_iter": 20, "lambda_": 0.3},
            ),
            {"step_size": 0.5, "momentum": 0.5, "iterations": 20, "strength": 0.3},
            rtol=3e-5,
            atol=3e-5,
            notes=("1e-8 is added to the squared mean length.",),
        )
        case(
            "excess_mtl",
            "ExcessMTL",
            partial(_excess_mtl, shape, {"robust_step_size": 0.1, "n_warmup_steps": 3}),
            {"step_size": 0.1, "n_warmup_steps": 3},
        )
    full = (9, 11, 9, False)

    def exact(name: str, settings: dict[str, Any]) -> tuple[str, Arrays]:
        text, values = _describe(*full)
        made = [getattr(aggregation, name)(**settings)(torch.tensor(x)) for x in values]
        return text, _arrays(values, made)

    nash, fair = {"n_tasks": 9}, {"alpha": 2.0}
    stops = ("The programs are stopped at a residual of 1e-3.",)
    found += [
        Case(
            "torchjd",
            "nash_mtl",
            "torchjd.aggregation.NashMTL",
            {},
            partial(exact, "NashMTL", nash),
            rtol=2e-3,
            atol=2e-3,
            notes=stops,
        ),
        Case(
            "torchjd",
            "fairgrad",
            "torchjd.aggregation.FairGrad",
            fair,
            partial(exact, "FairGrad", fair),
            rtol=1e-5,
            atol=1e-5,
            notes=("A least-squares routine, to its own tolerance.",),
        ),
    ]
    return found
