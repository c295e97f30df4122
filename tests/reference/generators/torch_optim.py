"""Curves of torch.optim and torch.nn.utils."""

from __future__ import annotations

from functools import partial
from unittest import mock

import torch

from .case import Arrays, Case
from .torch_run import Transform, drive

ADAM = {"mu": "exp_avg", "nu": "exp_avg_sq"}
EPS_OUTSIDE = "eps is added to the square root; the settings make it too small to matter."
DECAY_ATOL = 2e-15  # an update that is read off as a difference of parameters of size one


def _settings(learning_rate: float = 0.01, **more: object) -> dict:
    return {"learning_rate": learning_rate, **more}


def _case(method: str, optimizer: type, torch_args: dict, settings: dict, **more) -> Case:
    run_args = {
        k: more.pop(k) for k in ("states", "shape", "reads_params", "transpose") if k in more
    }
    run = partial(drive, partial(optimizer, **torch_args), **run_args)
    function = f"torch.optim.{optimizer.__name__}"
    return Case("torch", method, function, settings, run, **more)


def momentum_cases() -> list[Case]:
    buffer = {"states": {"trace": "momentum_buffer"}}
    return [
        _case("sgd", torch.optim.SGD, {"lr": 0.01}, _settings()),
        _case(
            "sgd",
            torch.optim.SGD,
            {"lr": 0.01, "momentum": 0.9},
            _settings(momentum=0.9),
            variant="momentum",
            **buffer,
        ),
        _case(
            "sgd",
            torch.optim.SGD,
            {"lr": 0.01, "momentum": 0.9, "nesterov": True},
            _settings(momentum=0.9, nesterov=True),
            variant="nesterov",
            **buffer,
        ),
    ]


def adam_cases() -> list[Case]:
    betas = {"lr": 0.01, "betas": (0.8, 0.95)}
    b = {"b1": 0.8, "b2": 0.95, "eps": 1e-8}
    decay = {"reads_params": True, "atol": DECAY_ATOL}
    return [
        _case(
            "adam",
            torch.optim.Adam,
            {"lr": 0.01},
            _settings(b1=0.9, b2=0.999, eps=1e-8),
            states=ADAM,
        ),
        _case("adam", torch.optim.Adam, betas, _settings(**b), states=ADAM, variant="betas"),
        _case(
            "adamw",
            torch.optim.AdamW,
            {**betas, "weight_decay": 0.1},
            _settings(**b, weight_decay=0.1),
            states=ADAM,
            **decay,
        ),
        _case(
            "amsgrad",
            torch.optim.Adam,
            {**betas, "amsgrad": True},
            _settings(**b),
            states=ADAM,
            agrees=False,
            departures=(
                "The maximum is taken over the uncorrected second moment and divided by this "
                "step's bias correction; optax takes the maximum of the corrected one, the paper "
                "corrects neither moment.",
            ),
        ),
        _case(
            "adamax",
            torch.optim.Adamax,
            betas,
            _settings(**b),
            states={"mu": "exp_avg", "nu": "exp_inf"},
        ),
    ]


def nadam_cases() -> list[Case]:
    b = {"b1": 0.9, "b2": 0.99, "eps": 1e-8}
    base = {"lr": 0.01, "betas": (0.9, 0.99)}
    # 0.96 ** (t * 1e9) is zero: the schedule of the momentum is switched off.
    constant = {**base, "momentum_decay": 1e9}
    note = ("momentum_decay=1e9 makes the momentum constant, as in the simplified algorithm.",)
    return [
        _case(
            "nadam",
            torch.optim.NAdam,
            base,
            _settings(**b),
            states=ADAM,
            variant="scheduled",
            agrees=False,
            departures=(
                "Dozat's momentum schedule b1 * (1 - 0.96 ** (t * psi) / 2) with psi = 0.004 and "
                "the running product of its values replace b1 in the bias corrections.",
            ),
        ),
        _case("nadam", torch.optim.NAdam, constant, _settings(**b), states=ADAM, notes=note),
        _case(
            "nadamw",
            torch.optim.NAdam,
            {**constant, "weight_decay": 0.1, "decoupled_weight_decay": True},
            _settings(**b, weight_decay=0.1),
            states=ADAM,
            reads_params=True,
            atol=DECAY_ATOL,
            notes=note,
        ),
    ]


def radam_cases() -> list[Case]:
    base = {"lr": 0.01, "betas": (0.9, 0.99)}
    b = {"b1": 0.9, "b2": 0.99}
    return [
        _case(
            "radam",
            torch.optim.RAdam,
            base,
            _settings(**b, eps=1e-8),
            states=ADAM,
            variant="eps",
            agrees=False,
            departures=(
                "eps is added to the square root before the bias correction, so that it counts "
                "more in the first steps.",
            ),
        ),
        _case(
            "radam",
            torch.optim.RAdam,
            {**base, "eps": 1e-30},
            _settings(**b, eps=1e-30),
            states=ADAM,
        ),
    ]


def square_root_cases() -> list[Case]:
    rms = {"lr": 0.01, "alpha": 0.95, "eps": 1e-6}
    ours = {"decay": 0.95, "eps": 1e-6, "eps_in_sqrt": False}
    average = {"nu": "square_avg"}
    trace = {"trace": lambda state: -0.01 * state["momentum_buffer"]}
    note = ("The stored trace is torch's buffer times -learning_rate, as optax keeps it.",)
    start = {"lr": 0.01, "initial_accumulator_value": 0.1}
    total = {"sum_of_squares": "sum"}
    return [
        _case("rmsprop", torch.optim.RMSprop, rms, _settings(**ours), states=average),
        _case(
            "rmsprop",
            torch.optim.RMSprop,
            {**rms, "centered": True},
            _settings(**ours, centered=True),
            states={"mu": "grad_avg", **average},
            variant="centered",
            rtol=1e-7,
            notes=("The variance is a difference of near numbers: tolerance 1e-7.",),
        ),
        _case(
            "rmsprop",
            torch.optim.RMSprop,
            {**rms, "momentum": 0.9},
            _settings(**ours, momentum=0.9),
            states={**average, **trace},
            variant="momentum",
            notes=note,
        ),
        _case(
            "adagrad",
            torch.optim.Adagrad,
            {**start, "eps": 1e-7},
            _settings(initial_accumulator_value=0.1, eps=1e-7),
            states=total,
            variant="eps",
            agrees=False,
            departures=("eps is added to the square root, in optax under it.",),
        ),
        _case(
            "adagrad",
            torch.optim.Adagrad,
            {**start, "eps": 1e-30},
            _settings(initial_accumulator_value=0.1, eps=1e-30),
            states=total,
            notes=(EPS_OUTSIDE,),
        ),
        _case(
            "adagrad",
            torch.optim.Adagrad,
            {"lr": 0.01, "eps": 1e-60},
            _settings(initial_accumulator_value=0.0, eps=1e-60),
            states=total,
            variant="from_zero",
            notes=(EPS_OUTSIDE,),
        ),
    ]


def _muon(shape: tuple[int, int], cast: bool, **args: object) -> tuple[str, Arrays]:
    make = partial(torch.optim.Muon, lr=0.02, momentum=0.95, **args)
    states = {"mu": "momentum_buffer"}
    run = partial(drive, make, states=states, shape=shape, reads_params=True, transpose=True)
    if cast:
        return run()
    with mock.patch.object(torch.Tensor, "bfloat16", torch.Tensor.clone):
        return run()


MUON_NESTEROV = (
    "Nesterov mixing uses raw moments, as its author does; optax corrects the bias of the moment "
    "with t + 1 and of the gradient with t, which mixes them in other proportions."
)
MUON_CAST = (
    "The cast to bfloat16 inside the iteration is replaced by a copy, to compare in float64."
)


def muon_cases() -> list[Case]:
    ours = {"learning_rate": 0.02, "beta": 0.95, "eps": 1e-30, "nesterov": False}
    plain = {"nesterov": False, "weight_decay": 0.0}
    make = partial(Case, "torch", "muon", "torch.optim.Muon", atol=1e-13)
    decayed = {"nesterov": False, "weight_decay": 0.1}
    tall, wide, square = (6, 4), (4, 6), (5, 5)
    return [
        make(ours, partial(_muon, tall, False, **plain), variant="6x4", notes=(MUON_CAST,)),
        make(
            {**ours, "weight_decay": 0.1},
            partial(_muon, wide, False, **decayed),
            variant="4x6_decay",
            notes=(MUON_CAST,),
        ),
        make(
            {**ours, "consistent_rms": 0.2},
            partial(_muon, wide, False, **plain, adjust_lr_fn="match_rms_adamw"),
            variant="4x6_rms",
            notes=(MUON_CAST,),
        ),
        make(
            {**ours, "nesterov": True},
            partial(_muon, square, False, nesterov=True, weight_decay=0.0),
            variant="5x5_nesterov",
            agrees=False,
            departures=(MUON_NESTEROV,),
            notes=(MUON_CAST,),
        ),
        make(
            ours,
            partial(_muon, wide, True, **plain),
            variant="4x6_bfloat16",
            agrees=False,
            departures=("The iteration runs in bfloat16: three digits at most are alike.",),
            rtol=0.1,
        ),
    ]


def clip_cases() -> list[Case]:
    def clip(p: torch.Tensor) -> torch.Tensor:
        torch.nn.utils.clip_grad_norm_([p], max_norm=3.0)
        assert p.grad is not None
        return p.grad

    return [
        Case(
            "torch",
            "clip_by_global_norm",
            "torch.nn.utils.clip_grad_norm_",
            {"max_norm": 3.0},
            partial(drive, partial(Transform, change=clip)),
            rtol=1e-6,
            departures=("The norm is increased by 1e-6 before it divides.",),
        )
    ]


def cases() -> list[Case]:
    return [
        *momentum_cases(),
        *adam_cases(),
        *nadam_cases(),
        *radam_cases(),
        *square_root_cases(),
        *muon_cases(),
        *clip_cases(),
    ]
