"""Curves of SAM on a small logistic loss whose data are stored, so that NumPy can follow."""

from __future__ import annotations

from functools import partial
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytorch_optimizer
import torch

from . import problems
from .case import Arrays, Case

STEPS = 60
SETTINGS = {"rho": 0.1, "learning_rate": 0.5}


def _finish(rows: dict[str, list[np.ndarray]], params: np.ndarray) -> tuple[str, Arrays]:
    features, labels = problems.logistic_data()
    data = {"features": features, "labels": labels, "params": params}
    text = problems.LOGISTIC.format(seed=problems.SEED)
    return text, data | {name: np.stack(values) for name, values in rows.items()}


def _start() -> np.ndarray:
    return problems.initial_params((6,))


def _torch(momentum: float) -> tuple[str, Arrays]:
    features, labels = (torch.tensor(a) for a in problems.logistic_data())
    p = torch.tensor(_start(), requires_grad=True)
    args = {"lr": SETTINGS["learning_rate"], "momentum": momentum}
    optimizer = pytorch_optimizer.SAM(
        [p], torch.optim.SGD, rho=SETTINGS["rho"], perturb_eps=0.0, **args
    )

    def backward() -> torch.Tensor:
        margins = labels * (features @ p)
        loss = 0.05 * (p @ p) - torch.nn.functional.logsigmoid(margins).mean()
        loss.backward()
        return loss

    rows: dict[str, list[np.ndarray]] = {"gradients": [], "updates": [], "gradients_ascended": []}
    for _ in range(STEPS):
        optimizer.zero_grad()
        backward()
        assert p.grad is not None
        before = p.detach().clone()
        rows["gradients"].append(p.grad.clone().numpy())
        with mock.patch.object(torch.Tensor, "float", torch.Tensor.clone):
            optimizer.step(backward)
        rows["gradients_ascended"].append(p.grad.clone().numpy())
        rows["updates"].append((p.detach() - before).numpy())
    return _finish(rows, _start())


def _optax() -> tuple[str, Arrays]:
    features, labels = (jnp.asarray(a) for a in problems.logistic_data())

    def loss(x: jax.Array) -> jax.Array:
        return jnp.mean(jax.nn.softplus(-labels * (features @ x))) + 0.05 * x @ x

    gradient, params = jax.grad(loss), jnp.asarray(_start())
    ascent = optax.chain(optax.contrib.normalize(), optax.sgd(SETTINGS["rho"]))
    outer = optax.sgd(SETTINGS["learning_rate"], momentum=0.9)
    optimizer = optax.contrib.sam(outer, ascent, sync_period=2, opaque_mode=True)
    state = optimizer.init(params)
    rows: dict[str, list[np.ndarray]] = {"gradients": [], "updates": []}
    for _ in range(STEPS):
        here = gradient(params)
        updates, state = optimizer.update(here, state, params, grad_fn=lambda x, _: gradient(x))
        params = optax.apply_updates(params, updates)
        rows["gradients"].append(np.asarray(here))
        rows["updates"].append(np.asarray(updates))
    return _finish(rows, _start())


def cases() -> list[Case]:
    note = ("The inner optimizer is sgd with the learning rate and momentum of the settings.",)
    make = partial(Case, rtol=1e-9, atol=1e-10)
    function, moving = "pytorch_optimizer.SAM", {**SETTINGS, "momentum": 0.9}
    cast = (
        "perturb_eps=0, by default 1e-12 is added to the gradient norm. The package rounds that "
        "norm to float32; a copy takes the place of the cast."
    )
    return [
        make(
            "pytorch_optimizer",
            "sam",
            function,
            {**SETTINGS, "momentum": 0.0},
            partial(_torch, 0.0),
            notes=(*note, cast),
        ),
        make(
            "pytorch_optimizer",
            "sam",
            function,
            moving,
            partial(_torch, 0.9),
            variant="momentum",
            notes=(*note, cast),
        ),
        make("optax", "sam", "optax.contrib.sam", moving, _optax, variant="momentum", notes=note),
    ]
