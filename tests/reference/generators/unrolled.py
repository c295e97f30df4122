"""Hypergradients through fifty steps of training, from packages that unroll torch optimizers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import higher
import numpy as np
import torch
import torchopt

from . import problems
from .case import Arrays, Case

STEPS = 50
TEXT = (
    "{steps} steps on inner(x) = sum(weights[i] * log(1 + exp(-labels[i] * (features[i] @ x)))) "
    "/ 8 + strength / 2 * x @ x, a sum over i in rows[t] at step t; then value = mean(log(1 + "
    "exp(-labels * (features @ x)))) over the last six of 20 random points in 6 dimensions (seed "
    "{seed}). last is the last x, and grad_NAME the derivative of value by NAME: the first x "
    "(params), weights, strength, or a number of the optimizer."
)


def data() -> Arrays:
    features, labels = problems.logistic_data()
    rng = np.random.default_rng([problems.SEED, 60])
    return {
        "features": features,
        "labels": labels,
        "rows": np.stack([rng.choice(14, 8, replace=False) for _ in range(STEPS)]).astype(np.int8),
        "params": problems.initial_params((6,)),
        "weights": problems.short(rng.uniform(0.5, 1.5, 14)),
        "strength": np.array(0.125),
    }


def _hypergradients(train: Callable[..., Any], hyper: dict[str, float]) -> tuple[str, Arrays]:
    """`train(loss, params, **hyper)` gives the last parameters."""
    given = data()
    features, labels = (torch.tensor(given[name]) for name in ("features", "labels"))
    rows = torch.tensor(given["rows"], dtype=torch.int64)
    by = {name: given[name] for name in ("weights", "strength")} | hyper
    by = {k: torch.tensor(v, dtype=torch.float64, requires_grad=True) for k, v in by.items()}
    by["params"] = torch.nn.Parameter(torch.tensor(given["params"]))

    def loss(x: torch.Tensor, step: int) -> torch.Tensor:
        now = rows[step]
        each = torch.nn.functional.softplus(-labels[now] * (features[now] @ x))
        return (by["weights"][now] * each).sum() / 8 + by["strength"] / 2 * (x @ x)

    last = train(loss, by["params"], **{name: by[name] for name in hyper})
    value = torch.nn.functional.softplus(-labels[14:] * (features[14:] @ last)).mean()
    found = torch.autograd.grad(value, list(by.values()))
    gradients = {f"grad_{name}": g.numpy() for name, g in zip(by, found, strict=True)}
    results = {"value": value.detach().numpy(), "last": last.detach().numpy()}
    return TEXT.format(steps=STEPS, seed=problems.SEED), given | results | gradients


def _torchopt(make: str, settings: dict[str, Any]) -> tuple[str, Arrays]:
    def train(loss: Any, params: Any, learning_rate: torch.Tensor) -> torch.Tensor:
        model = torch.nn.Module()
        model.x = params
        optimizer = getattr(torchopt, make)(model, lr=lambda _: learning_rate, **settings)
        for step in range(STEPS):
            optimizer.step(loss(model.x, step))
        return model.x

    return _hypergradients(train, {"learning_rate": 0.3})


def _higher(make: Any, settings: dict[str, Any], hyper: dict[str, float]) -> tuple[str, Arrays]:
    def train(loss: Any, params: Any, learning_rate: Any, **more: Any) -> torch.Tensor:
        override = {"lr": [learning_rate]}
        if "momentum" in more:
            override |= {"momentum": [more["momentum"]]}
        if "b1" in more:
            override |= {"betas": [(more["b1"], settings["betas"][1])]}
        plain = make([params], lr=0.3, **settings)
        optimizer = higher.get_diff_optim(plain, [params], override=override)
        x = params
        for step in range(STEPS):
            (x,) = optimizer.step(loss(x, step), params=[x])
        return x

    return _hypergradients(train, hyper)


def _torchopt_case(function: str, ours: dict, theirs: dict, variant: str = "") -> Case:
    name = function.removeprefix("Meta").lower()
    return Case(
        "torchopt",
        "unroll",
        f"torchopt.{function}",
        {"optimizer": name, "learning_rate": 0.3, **ours},
        partial(_torchopt, function, theirs),
        variant=variant or name,
        notes=("The learning rate is a tensor that a schedule returns.",),
        rtol=1e-9,
        atol=1e-12,
    )


def _higher_case(make: Any, ours: dict, theirs: dict, by: tuple[str, ...], **more: Any) -> Case:
    name = make.__name__.lower()
    settings = {"optimizer": name, "learning_rate": 0.3, **ours}
    return Case(
        "higher",
        "unroll",
        f"higher.get_diff_optim of torch.optim.{make.__name__}",
        settings,
        partial(_higher, make, theirs, {key: settings[key] for key in ("learning_rate", *by)}),
        rtol=1e-9,
        atol=1e-12,
        **{"variant": name, **more},
    )


def cases() -> list[Case]:
    moving, nesterov = {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}
    # An eps of this size is seen, so that its place matters.
    adam, betas = {"b1": 0.8, "b2": 0.95, "eps": 1e-3}, {"betas": (0.8, 0.95)}
    decayed = {"weight_decay": 0.05}
    rms = {"eps_in_sqrt": False, "eps": 1e-3, "decay": 0.9}
    inside = (
        "eps is added to the root of the average before that is debiased, so that it shrinks from "
        "eps / sqrt(1 - b2) to eps; the paper has eps throughout.",
    )
    return [
        _torchopt_case("MetaSGD", {}, {}),
        _torchopt_case("MetaSGD", moving, moving, "momentum"),
        _torchopt_case("MetaSGD", nesterov, nesterov, "nesterov"),
        _torchopt_case("MetaAdam", adam, {**betas, "eps": 1e-3}),
        _torchopt_case("MetaAdamW", {**adam, **decayed}, {**betas, "eps": 1e-3, **decayed}),
        _torchopt_case("MetaRMSProp", rms, {"alpha": 0.9, "eps": 1e-3}),
        _torchopt_case("MetaAdaMax", adam, {**betas, "eps": 1e-3}),
        _higher_case(torch.optim.SGD, moving, moving, ("momentum",), variant="momentum"),
        _higher_case(torch.optim.SGD, nesterov, nesterov, ("momentum",), variant="nesterov"),
        _higher_case(torch.optim.Adam, {**adam, "eps": 0.0}, {**betas, "eps": 0.0}, ("b1",)),
        _higher_case(
            torch.optim.Adam,
            adam,
            {**betas, "eps": 1e-3},
            ("b1",),
            variant="adam_eps",
            departures=inside,
            agrees=False,
        ),
    ]
