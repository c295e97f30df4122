"""Curves of pytorch_optimizer, of authors' packages, and of authors' repositories."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import adabelief_pytorch
import adopt
import lion_pytorch
import pytorch_optimizer
import torch
from pytorch_optimizer.optimizer.agc import agc

from .case import Arrays, Case
from .checkouts import Checkout
from .torch_run import Transform, drive

ADAM = {"mu": "exp_avg", "nu": "exp_avg_sq"}
BELIEF = {"mu": "exp_avg", "nu": "exp_avg_var"}
DECAY_ATOL = 2e-15

CHECKOUTS = {
    "ml-ademamix": Checkout(
        "https://github.com/apple/ml-ademamix",
        "c3d73c09f1287e5c33b95189bb0aa7de0a5a7667",
        "pytorch/ademamix.py",
        "e4d247f2f780cd35104f15f10c1802afa5edf5e1732734c24b4a4ae8ca23cc19",
    ),
    "LaProp-Optimizer": Checkout(
        "https://github.com/Z-T-WANG/LaProp-Optimizer",
        "a419916505bfb5d6a55f6b7b0ae14eb401b3be12",
        "laprop.py",
        "8f153db8876a1e8d27105860d43c7a9702e22cb32a3db51298d43c2325dc1cfb",
    ),
}


def _quiet(make: Callable, params: list[torch.Tensor], **args: Any) -> Any:
    with contextlib.redirect_stdout(io.StringIO()):
        return make(params, **args)


def belief_cases() -> list[Case]:
    args = {"lr": 0.01, "betas": (0.9, 0.99), "eps": 1e-12}
    ours = {"learning_rate": 0.01, "b1": 0.9, "b2": 0.99, "eps": 1e-12, "eps_root": 1e-12}
    authors = partial(
        _quiet, adabelief_pytorch.AdaBelief, **args, rectify=False, print_change_log=False
    )
    other = partial(pytorch_optimizer.AdaBelief, **args)
    return [
        Case(
            "adabelief-pytorch",
            "adabelief",
            "adabelief_pytorch.AdaBelief",
            ours,
            partial(drive, authors, states=BELIEF),
        ),
        Case(
            "pytorch_optimizer",
            "adabelief",
            "pytorch_optimizer.AdaBelief",
            ours,
            partial(drive, other, states=BELIEF),
        ),
    ]


def lion_cases() -> list[Case]:
    args = {"lr": 0.01, "betas": (0.9, 0.99)}
    ours = {"learning_rate": 0.01, "b1": 0.9, "b2": 0.99}
    run = partial(drive, states={"mu": "exp_avg"}, reads_params=True)
    decayed = {**ours, "weight_decay": 0.1}
    return [
        Case(
            "lion-pytorch",
            "lion",
            "lion_pytorch.Lion",
            decayed,
            partial(run, partial(lion_pytorch.Lion, **args, weight_decay=0.1)),
            atol=DECAY_ATOL,
        ),
        Case(
            "pytorch_optimizer",
            "lion",
            "pytorch_optimizer.Lion",
            {**ours, "weight_decay": 0.0},
            partial(drive, partial(pytorch_optimizer.Lion, **args), states={"mu": "exp_avg"}),
        ),
    ]


ADEMAMIX = {"learning_rate": 0.01, "b1": 0.9, "b2": 0.99, "b3": 0.995, "alpha": 5.0, "eps": 1e-8}
MIX_ARGS = {"lr": 0.01, "betas": (0.9, 0.99, 0.995), "alpha": 5.0, "eps": 1e-8}


def ademamix_cases() -> list[Case]:
    states = {"m1": "exp_avg", "m2": "exp_avg_slow", "nu": "exp_avg_sq"}
    make = partial(pytorch_optimizer.AdEMAMix, **MIX_ARGS)
    return [
        Case(
            "pytorch_optimizer",
            "ademamix",
            "pytorch_optimizer.AdEMAMix",
            ADEMAMIX,
            partial(drive, make, states=states),
            notes=(
                "Earlier releases divided the slow average by the bias correction of the fast one; "
                "this one does not.",
            ),
        )
    ]


def adopt_cases() -> list[Case]:
    args = {"lr": 0.01, "betas": (0.9, 0.99), "eps": 1e-6}
    ours = {"learning_rate": 0.01, "b1": 0.9, "b2": 0.99, "eps": 1e-6}
    authors = partial(adopt.ADOPT, **args)
    plain = partial(adopt.ADOPT, **args, clip_lambda=None)
    other = partial(pytorch_optimizer.ADOPT, **args)
    paper = partial(other, clip_lambda=lambda step: (step - 1) ** 0.25)
    decayed = partial(paper, weight_decay=0.1, weight_decouple=True)
    name, make = "pytorch_optimizer.ADOPT", partial(Case, "pytorch_optimizer", "adopt")
    note = (
        "clip_lambda is shifted by one step, to count from the first update as the paper does.",
    )
    return [
        Case("torch-adopt", "adopt", "adopt.ADOPT", ours, partial(drive, authors, states=ADAM)),
        Case(
            "torch-adopt",
            "adopt",
            "adopt.ADOPT",
            {**ours, "use_clipping": False},
            partial(drive, plain, states=ADAM),
            variant="unclipped",
        ),
        make(
            name,
            ours,
            partial(drive, other, states=ADAM),
            variant="late_clip",
            agrees=False,
            departures=(
                "The clipping bound counts the initialising step too: 2 ** 0.25 at the first "
                "update, where the paper has 1.",
            ),
        ),
        make(
            name,
            {**ours, "weight_decay": 0.1},
            partial(drive, decayed, states=ADAM, reads_params=True),
            variant="decay",
            atol=DECAY_ATOL,
            notes=(
                *note,
                "Weight decay acts at the first step already, where the gradient does not.",
            ),
        ),
    ]


def laprop_cases() -> list[Case]:
    ours = {"learning_rate": 0.01, "b1": 0.9, "b2": 0.99, "eps": 1e-15}
    make = partial(pytorch_optimizer.LaProp, lr=0.01, betas=(0.9, 0.99), eps=1e-15)
    return [
        Case(
            "pytorch_optimizer",
            "laprop",
            "pytorch_optimizer.LaProp",
            ours,
            partial(drive, make, states={"mu": _laprop_mu, "nu": "exp_avg_sq"}),
            agrees=False,
            departures=(
                "1e-15 is added to the second moment under the square root, and eps to the root "
                "before the bias correction, so that small gradients take smaller steps.",
            ),
            notes=(LAPROP_NOTE,),
        )
    ]


LAPROP_NOTE = "The package keeps learning_rate * mu; the stored mu is divided by the learning rate."


def _laprop_mu(state: dict) -> torch.Tensor:
    return state["exp_avg"] / 0.01


def agc_cases() -> list[Case]:
    def clip(p: torch.Tensor) -> torch.Tensor:
        assert p.grad is not None
        return agc(p.detach(), p.grad, agc_eps=1e-3, agc_clip_val=0.1)

    run = partial(drive, partial(Transform, change=clip), reads_params=True, transpose=True)
    make = partial(
        Case,
        "pytorch_optimizer",
        "adaptive_grad_clip",
        "pytorch_optimizer.optimizer.agc.agc",
        {"clipping": 0.1, "eps": 1e-3},
        atol=2e-14,
    )
    return [
        make(partial(run, shape=(6, 4)), variant="6x4"),
        make(partial(run, shape=(4, 6)), variant="4x6"),
    ]


def muon_cases() -> list[Case]:
    def optimizer(params: list[torch.Tensor]) -> Any:
        group = {"params": params, "use_muon": True, "lr": 0.02, "momentum": 0.95}
        return pytorch_optimizer.Muon([group], nesterov=False)

    states = {"mu": "momentum_buffer"}
    ours = {"learning_rate": 0.02, "beta": 0.95, "eps": 1e-30, "nesterov": False}
    return [
        Case(
            "pytorch_optimizer",
            "muon",
            "pytorch_optimizer.Muon",
            ours,
            partial(drive, optimizer, states=states, shape=(6, 4), transpose=True),
            variant="6x4_bfloat16",
            agrees=False,
            rtol=0.1,
            departures=("The iteration runs in bfloat16: three digits at most are alike.",),
        )
    ]


def _authors_ademamix(root: Path) -> tuple[str, Arrays]:
    states = {"m1": "exp_avg_fast", "m2": "exp_avg_slow", "nu": "exp_avg_sq"}
    file = CHECKOUTS["ml-ademamix"]
    given = {"math": math, "torch": torch, "Optimizer": torch.optim.Optimizer}
    make = partial(file.definition(root, "AdEMAMix", **given), **MIX_ARGS, weight_decay=0.1)
    return drive(make, states=states, reads_params=True)


def _authors_laprop(root: Path) -> tuple[str, Arrays]:
    given = {"math": math, "torch": torch, "Optimizer": torch.optim.Optimizer}
    laprop = CHECKOUTS["LaProp-Optimizer"].definition(root, "LaProp", **given)
    make = partial(laprop, lr=0.01, betas=(0.9, 0.99), eps=1e-15)
    return drive(make, states={"mu": _laprop_mu, "nu": "exp_avg_sq"})


def authors_cases(root: Path) -> list[Case]:
    """Made only where the repositories are checked out, at the commits named above."""
    return [
        Case(
            "ml-ademamix",
            "ademamix",
            "AdEMAMix in pytorch/ademamix.py",
            {**ADEMAMIX, "weight_decay": 0.1},
            partial(_authors_ademamix, root),
            checkout="ml-ademamix",
            atol=DECAY_ATOL,
        ),
        Case(
            "LaProp-Optimizer",
            "laprop",
            "LaProp in laprop.py",
            {"learning_rate": 0.01, "b1": 0.9, "b2": 0.99, "eps": 1e-15},
            partial(_authors_laprop, root),
            checkout="LaProp-Optimizer",
            notes=(LAPROP_NOTE,),
        ),
    ]


def cases() -> list[Case]:
    return [
        *belief_cases(),
        *lion_cases(),
        *ademamix_cases(),
        *adopt_cases(),
        *laprop_cases(),
        *agc_cases(),
        *muon_cases(),
    ]
