"""Curves of code in torch that averages iterates: schedule-free, Lookahead, AveragedModel."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytorch_optimizer
import schedulefree
import torch
from schedulefree.adamw_schedulefree_paper import AdamWScheduleFreePaper
from schedulefree.wrap_schedulefree_reference import ScheduleFreeWrapperReference
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from .case import Case
from .torch_run import drive

RATE = 0.1
# Updates are differences of parameters of up to ten.
PARAMETERS_ATOL = 5e-15
EARLY = "The warm-up counts its steps from 1 where it moves z, too; in optax it does from 0."
ROOT = (
    "The root of the bias correction is part of the learning rate by which iterates weigh; in the "
    "authors' AdamWScheduleFree and in optax it is not."
)


def _training(make: Callable, params: list[torch.Tensor]) -> Any:
    optimizer = make(params)
    optimizer.train()
    return optimizer


def _wrapped(params: list[torch.Tensor]) -> Any:
    base = torch.optim.SGD(params, lr=RATE, momentum=0.5)
    return ScheduleFreeWrapperReference(base, momentum=0.8)


def schedule_free_cases() -> list[Case]:
    def case(method: str, make: Callable, settings: dict, variant: str = "", **more: Any) -> Case:
        run = partial(drive, partial(_training, make), states={"z": "z"}, reads_params=True)
        function = f"schedulefree.{getattr(make, 'func', ScheduleFreeWrapperReference).__name__}"
        return Case(
            "schedulefree",
            method,
            function,
            settings,
            run,
            variant=variant,
            atol=PARAMETERS_ATOL,
            **more,
        )

    decayed = {"learning_rate": RATE, "b1": 0.8, "weight_decay": 0.1}
    warm = {"learning_rate": RATE, "b1": 0.8, "warmup_steps": 8}
    adam = {"b2": 0.95, "eps": 1e-8}
    args = {"lr": RATE, "weight_decay": 0.1}
    sgd = partial(schedulefree.SGDScheduleFree, lr=RATE, momentum=0.8)
    adamw = partial(schedulefree.AdamWScheduleFree, lr=RATE, betas=(0.8, 0.95))
    paper = partial(AdamWScheduleFreePaper, lr=RATE, betas=(0.8, 0.95), eps=1e-30)
    inner = {"learning_rate": RATE, "momentum": 0.5, "b1": 0.8}
    late = {"agrees": False, "departures": (EARLY,)}
    return [
        case("schedule_free", _wrapped, inner, notes=("The base is sgd with momentum.",)),
        case("schedule_free_sgd", partial(sgd, **args), decayed),
        case("schedule_free_sgd", partial(sgd, warmup_steps=8), warm, "warmup", **late),
        case("schedule_free_adamw", partial(adamw, **args), {**decayed, **adam}),
        case(
            "schedule_free_adamw",
            partial(adamw, warmup_steps=8),
            {**warm, **adam},
            "warmup",
            **late,
        ),
        case(
            "schedule_free_adamw",
            paper,
            {"learning_rate": RATE, "b1": 0.8, **adam, "eps": 1e-30},
            "paper",
            agrees=False,
            departures=(ROOT,),
            notes=("eps, which stands elsewhere, is next to nothing.",),
        ),
    ]


def lookahead_cases() -> list[Case]:
    def case(variant: str, pullback: str, reset: bool) -> Case:
        def make(params: list[torch.Tensor]) -> Any:
            inner = torch.optim.SGD(params, lr=RATE, momentum=0.9)
            return pytorch_optimizer.Lookahead(inner, k=5, alpha=0.3, pullback_momentum=pullback)

        return Case(
            "pytorch_optimizer",
            "lookahead",
            "pytorch_optimizer.Lookahead",
            {
                "learning_rate": RATE,
                "momentum": 0.9,
                "sync_period": 5,
                "slow_step_size": 0.3,
                "reset_state": reset,
            },
            partial(drive, make, states={"slow": "slow_params"}, reads_params=True),
            variant=variant,
            atol=2e-14,
        )

    return [case("", "none", False), case("reset", "reset", True)]


class Averaged:
    """Gradient descent, and a model that averages where it leads."""

    def __init__(
        self, params: list[torch.Tensor], takes: Callable[[int], bool], **averaging: Any
    ) -> None:
        self.model = torch.nn.ParameterList(params)  # parameters that share their numbers
        self.descent = torch.optim.SGD(params, lr=RATE)
        self.average, self.takes, self.steps = AveragedModel(self.model, **averaging), takes, 0
        if takes(0):
            self.average.update_parameters(self.model)
        (mean,) = self.average.parameters()
        self.state = {params[0]: {"average": mean}}

    def step(self) -> None:
        self.descent.step()
        self.steps += 1
        if self.takes(self.steps):
            self.average.update_parameters(self.model)


def averaged_model_cases() -> list[Case]:
    def case(method: str, settings: dict, takes: Callable, variant: str = "", **averaging) -> Case:
        make = partial(Averaged, takes=takes, **averaging)
        return Case(
            "torch",
            method,
            "torch.optim.swa_utils.AveragedModel",
            {"learning_rate": RATE, **settings},
            partial(drive, make, states={"average": "average"}, reads_params=True),
            variant=variant,
            atol=PARAMETERS_ATOL,
            notes=("Beside gradient descent.",),
        )

    moving = get_ema_multi_avg_fn(0.9)
    return [
        case("average_iterates", {"decay": 0.9}, lambda t: True, multi_avg_fn=moving),
        case("average_iterates", {}, lambda t: t > 0, "mean"),
        case("swa", {"start": 7, "period": 3}, lambda t: t >= 7 and (t - 7) % 3 == 0),
    ]


def cases() -> list[Case]:
    return [*schedule_free_cases(), *lookahead_cases(), *averaged_model_cases()]
