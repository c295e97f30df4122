"""Curves of cautious optimizers."""

from __future__ import annotations

import math
import warnings
from functools import partial
from pathlib import Path

import pytorch_optimizer
import torch
import torch.distributed.tensor

from .case import Arrays, Case
from .checkouts import Checkout
from .torch_run import drive

ADDRESS, COMMIT = (
    "https://github.com/kyleliang919/C-Optim",
    "2c0517c4db2e50b56d389ba4803eab1f4b3b8ae3",
)
CHECKOUTS = {
    "C-AdamW": Checkout(
        ADDRESS,
        COMMIT,
        "c_adamw.py",
        "1514a0dfe4b65a38fb01e91399b0d9383f5f43a032730cf0c0d48adfcbae7b33",
    ),
    "C-Lion": Checkout(
        ADDRESS,
        COMMIT,
        "c_lion.py",
        "5be246e816cf5fc5d02affacc71fb281175365c5d21aa13c433bc2854e712a4c",
    ),
}
OURS = {"learning_rate": 0.01, "b1": 0.8, "b2": 0.95}
LION_ARGS = {"lr": 0.01, "betas": (0.8, 0.95)}
ONE_MORE = (
    "The share that is divided by counts one coordinate more than agree, and is the larger for it.",
)


def cases() -> list[Case]:
    lion = partial(pytorch_optimizer.Lion, **LION_ARGS, cautious=True)
    return [
        Case(
            "pytorch_optimizer",
            "cautious",
            "pytorch_optimizer.Lion",
            OURS,
            partial(drive, lion),
            variant="lion",
            agrees=False,
            departures=ONE_MORE,
        )
    ]


def _authors_adamw(root: Path) -> tuple[str, Arrays]:
    given = {"torch": torch, "math": math, "warnings": warnings, "Optimizer": torch.optim.Optimizer}
    adamw = CHECKOUTS["C-AdamW"].definition(root, "AdamW", **given, dist=torch.distributed)
    args = {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-30, "weight_decay": 0.1, "foreach": False}
    make = partial(adamw, **args, no_deprecation_warning=True)
    return drive(make, states={"mu": "exp_avg", "nu": "exp_avg_sq"}, reads_params=True)


def _authors_lion(root: Path) -> tuple[str, Arrays]:
    file = CHECKOUTS["C-Lion"]
    given = {name: file.definition(root, name, torch=torch) for name in ("exists", "update_fn")}
    base = {"torch": torch, "Optimizer": torch.optim.Optimizer}
    return drive(partial(file.definition(root, "Lion", **given, **base), **LION_ARGS))


def authors_cases(root: Path) -> list[Case]:
    return [
        Case(
            "C-Optim",
            "cautious",
            "AdamW in c_adamw.py",
            {**OURS, "eps": 1e-30, "weight_decay": 0.1},
            partial(_authors_adamw, root),
            variant="adamw",
            checkout="C-AdamW",
            atol=2e-15,
            notes=("eps, which stands elsewhere, is next to nothing. Without foreach.",),
        ),
        Case(
            "C-Optim",
            "cautious",
            "Lion in c_lion.py",
            OURS,
            partial(_authors_lion, root),
            variant="lion",
            checkout="C-Lion",
            agrees=False,
            departures=ONE_MORE,
        ),
    ]
