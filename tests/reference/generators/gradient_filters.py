"""Curves of what stands before an optimizer: Grokfast's filters, OrthoGrad, and choices by size."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytorch_optimizer
import torch
from pytorch_optimizer.optimizer.grokfast import gradfilter_ema, gradfilter_ma
from torch.nn.utils import prune

from .case import Arrays, Case
from .checkouts import Checkout
from .torch_run import Transform, drive

CHECKOUTS = {
    "grokfast": Checkout(
        "https://github.com/ironjr/grokfast",
        "93b2248e351d4bb9e4dda8ac32a6999b8970404b",
        "grokfast.py",
        "25d804ade53a391284928df3280937258e57515dcde324d74616af2ee917b73e",
    ),
    "orthograd": Checkout(
        "https://github.com/LucasPrietoAl/grokking-at-the-edge-of-numerical-stability",
        "0cc9e8dc62ce5ed66d29d80eebbaf14da2f71c67",
        "orthograd.py",
        "0fbb96f8a8762a813186c124f7fbeb6ad9992eb88054c1395ed2bc21ac820d37",
    ),
}
RATE = 0.1
# Updates are differences of parameters of up to ten.
PARAMETERS_ATOL = 2e-15


class Filtered:
    """A filter of a model's gradients dressed as an optimizer: adds what it makes of them."""

    def __init__(self, params: Iterable[torch.Tensor], change: Callable) -> None:
        (self.param,), self.change, self.kept = params, change, None
        self.state: dict[torch.Tensor, dict] = {self.param: {}}

    def step(self) -> None:
        model = SimpleNamespace(named_parameters=lambda: [("p", self.param)])
        self.kept = self.change(model, self.kept)
        self.state[self.param]["kept"] = self.kept["p"]
        self.param.data.add_(self.param.grad)


def _ema(filter_: Callable) -> tuple[str, Arrays]:
    change = partial(filter_, alpha=0.9, lamb=0.5)
    return drive(partial(Filtered, change=change), states={"mu": "kept"})


def _ma(filter_: Callable, **settings: Any) -> tuple[str, Arrays]:
    return drive(partial(Filtered, change=partial(filter_, window_size=7, lamb=0.5, **settings)))


def _of_both(make: Callable[..., Case], ema: Callable, ma: Callable) -> list[Case]:
    """The same curves of either code."""
    ours = {"window": 7, "gain": 0.5}
    early, total = partial(_ma, ma, warmup=False), partial(_ma, ma, filter_type="sum")
    return [
        make(method="grokfast_ema", settings={"decay": 0.9, "gain": 0.5}, run=partial(_ema, ema)),
        make(method="grokfast_ma", settings={**ours, "warmup": True}, run=partial(_ma, ma)),
        make(
            method="grokfast_ma",
            settings={**ours, "warmup": False},
            run=early,
            variant="without_warmup",
        ),
        make(
            method="grokfast_ma",
            settings={"window": 7, "gain": 3.5, "warmup": True},
            run=total,
            variant="sum",
            notes=("The filter adds the sum times 0.5, which is the mean times 3.5.",),
        ),
    ]


def _changed(change: Callable[[torch.Tensor], torch.Tensor]) -> tuple[str, Arrays]:
    return drive(partial(Transform, change=lambda p: change(p.grad)))


def _largest(gradient: torch.Tensor) -> torch.Tensor:
    chosen = prune.L1Unstructured(amount=0.6)
    return gradient * chosen.compute_mask(gradient, torch.ones_like(gradient))


def _clipped(gradient: torch.Tensor) -> torch.Tensor:
    holder = torch.zeros_like(gradient, requires_grad=True)
    holder.grad = gradient.clone()
    begin = torch.quantile(gradient.abs(), 0.7).item()
    torch.nn.utils.clip_grad_value_([holder], begin)
    assert holder.grad is not None
    return holder.grad


def torch_cases() -> list[Case]:
    """What torch has for other ends: no code of the authors is public."""
    return [
        Case(
            "torch",
            "keep_largest_gradients",
            "torch.nn.utils.prune.L1Unstructured",
            {"fraction": 0.4},
            partial(_changed, _largest),
            notes=("Its mask, with which weights are pruned, of gradients. It drops 0.6.",),
        ),
        Case(
            "torch",
            "clip_largest_coordinates",
            "torch.nn.utils.clip_grad_value_",
            {"fraction": 0.3},
            partial(_changed, _clipped),
            notes=("The value is torch.quantile of the sizes, at 0.7.",),
        ),
    ]


FILTERS = {"grokfast_ema": "gradfilter_ema", "grokfast_ma": "gradfilter_ma"}


def cases() -> list[Case]:
    def case(method: str, **more: Any) -> Case:
        function = f"pytorch_optimizer.optimizer.grokfast.{FILTERS[method]}"
        return Case("pytorch_optimizer", method=method, function=function, **more)

    return [
        *torch_cases(),
        *_of_both(case, gradfilter_ema, gradfilter_ma),
        Case(
            "pytorch_optimizer",
            "orthogonal_to_params",
            "pytorch_optimizer.OrthoGrad",
            {"rescale": True, "learning_rate": RATE},
            _torch_orthograd,
            atol=PARAMETERS_ATOL,
            notes=("Around gradient descent with the learning rate of the settings.",),
        ),
    ]


def _torch_orthograd() -> tuple[str, Arrays]:
    def make(params: list[torch.Tensor]) -> Any:
        return pytorch_optimizer.OrthoGrad(torch.optim.SGD(params, lr=RATE))

    return drive(make, shape=(6, 4), reads_params=True)


def _late(root: Path, name: str, *args: Any, **settings: Any) -> Any:
    return CHECKOUTS["grokfast"].definition(root, name, deque=deque)(*args, **settings)


def _authors_orthograd(root: Path) -> tuple[str, Arrays]:
    orthograd = CHECKOUTS["orthograd"].definition(root, "OrthoGrad", torch=torch)
    return drive(partial(orthograd, lr=RATE), shape=(6, 4), reads_params=True)


def authors_cases(root: Path) -> list[Case]:
    def case(method: str, **more: Any) -> Case:
        function = f"{FILTERS[method]} in grokfast.py"
        return Case("grokfast", method=method, function=function, checkout="grokfast", **more)

    filters = (partial(_late, root, name) for name in FILTERS.values())
    return [
        *_of_both(case, *filters),
        Case(
            "orthograd",
            "orthogonal_to_params",
            "OrthoGrad in orthograd.py",
            {"rescale": True, "learning_rate": RATE},
            partial(_authors_orthograd, root),
            atol=PARAMETERS_ATOL,
            checkout="orthograd",
            notes=("Around gradient descent with the learning rate of the settings.",),
        ),
    ]
