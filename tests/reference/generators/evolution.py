"""Gradients of evolution strategies with stored draws, from torchopt and learned_optimization."""

from __future__ import annotations

import functools
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torchopt
from jax import lax

from . import problems
from .case import Arrays, Case
from .checkouts import Checkout

jax.config.update("jax_enable_x64", True)

STEPS, LENGTH, PAIRS, STD = 12, 3, 4, 0.25
UNROLLS = 2 * STEPS // LENGTH
TEXT = (
    "{steps} steps x <- x - exp(theta) * curvature * (x - targets[t]) from start; the loss of step "
    "t is sum(curvature * (x - targets[t])**2) / 2 before it (seed {seed}). Perturbations are std "
    "times draws. gradients "
)
REPOSITORY = "https://github.com/google/learned_optimization"
COMMIT = "32186aa46a96f26ba0625755f93c55659adcd523"
FOLDER = "learned_optimization/"
CHECKOUTS = {
    "pes": Checkout(
        REPOSITORY,
        COMMIT,
        FOLDER + "outer_trainers/truncated_pes.py",
        "66af67123266297d7cc6f3cfbf223dde00fbf013bef457ce5fcaaa80e20e1133",
    ),
    "es": Checkout(
        REPOSITORY,
        COMMIT,
        FOLDER + "outer_trainers/truncated_es.py",
        "32799e294a4fcfb3885b7add2981fbe2ebe12d3e55ca03869dac91d43935b9c6",
    ),
    "trees": Checkout(
        REPOSITORY,
        COMMIT,
        FOLDER + "tree_utils.py",
        "ec3660b66ab1c3f2d4130188677e6d240ce7191c479ae4caf101606e0bb45154",
    ),
}


def _data(*draws: int) -> Arrays:
    rng = np.random.default_rng([problems.SEED, 62])
    given = {
        "curvature": np.array([0.5, 1.0, 2.0]),
        "targets": problems.short(rng.standard_normal((STEPS, 3))),
        "start": problems.short(rng.standard_normal(3)),
        "theta": np.array([-1.5, -1.0, -2.0]),
    }
    return given | {"draws": problems.short(rng.standard_normal((*draws, 3)))}


def _torchopt(method: str, samples: int) -> tuple[str, Arrays]:
    given = _data(samples)
    values = {name: torch.tensor(value) for name, value in given.items()}
    rows = iter(values["draws"])
    stored = SimpleNamespace(sample=lambda sample_shape: next(rows))

    @torchopt.diff.zero_order(stored, method=method, num_samples=samples, sigma=STD)
    def loss(theta: torch.Tensor) -> torch.Tensor:
        x, total = values["start"], torch.zeros((), dtype=torch.float64)
        for target in values["targets"]:
            off = values["curvature"] * (x - target)
            total, x = total + off @ (x - target) / 2, x - torch.exp(theta) * off
        return total

    theta = values["theta"].requires_grad_(True)
    (found,) = torch.autograd.grad(loss(theta), theta)
    text = TEXT.format(steps=STEPS, seed=problems.SEED) + "is the estimate for the sum of losses."
    return text, given | {"gradients": found.numpy()}


class _Out(NamedTuple):
    """What an unroll of learned_optimization gives, as far as the estimators read it."""

    loss: Any
    mask: Any
    is_done: Any


def _unroll(given: Arrays, x: np.ndarray, t: int, theta: np.ndarray, fresh: bool) -> tuple:
    """One unroll of all samples; a fresh problem begins with a step that only resets."""
    losses = []
    for target in given["targets"][t : t + LENGTH]:
        off = given["curvature"] * (x - target)
        losses.append((off * (x - target)).sum(-1) / 2)
        x = x - np.exp(theta) * off
    rows = [0 * losses[0], *losses] if fresh else losses
    first = np.arange(len(rows)) == 0
    reset = np.broadcast_to((first & fresh)[:, None], (len(rows), PAIRS))
    return x, [_Out(np.stack(rows), 1.0 - reset, reset)]


def _learned_optimization(root: Path, persistent: bool) -> tuple[str, Arrays]:
    given = _data(UNROLLS, PAIRS)
    trees = {
        k: CHECKOUTS["trees"].definition(root, k, jax=jax, jnp=jnp)
        for k in ("tree_zip_jnp", "tree_add")
    }
    names = {"jax": jax, "jnp": jnp, "lax": lax, "functools": functools}
    name, key = ("compute_pes_grad", "pes") if persistent else ("compute_es_grad", "es")
    estimate = CHECKOUTS[key].definition(root, name, tree_utils=SimpleNamespace(**trees), **names)
    theta, accumulator = given["theta"], np.zeros((PAIRS, 3))
    states: list[Any] = []
    found = []
    for k, draws in enumerate(given["draws"]):
        t, noise = k * LENGTH % STEPS, STD * draws
        if t == 0:
            states = [np.tile(given["start"], (PAIRS, 1)) for _ in range(3)]
        begin = states if persistent else [states[2]] * 3
        moves = (theta + noise, theta - noise, np.broadcast_to(theta, noise.shape))
        each = [_unroll(given, x, t, p, t == 0) for x, p in zip(begin, moves, strict=True)]
        states = [x for x, _ in each]
        outs = [out for _, out in each]
        if persistent:
            _, gradient, accumulator, *_ = estimate(*outs[:2], accumulator, noise, std=STD)
        else:
            _, gradient, *_ = estimate(*outs[:2], noise, std=STD)
        found.append(np.asarray(gradient))
    text = TEXT.format(steps=STEPS, seed=problems.SEED) + (
        f"[k] is the estimate of unroll k of {LENGTH} steps, two inner problems one after the "
        "other, for the mean of losses over the steps of an unroll."
    )
    return text, given | {"gradients": np.stack(found)}


def cases() -> list[Case]:
    make = partial(Case, "torchopt", "evolution_strategies", "torchopt.diff.zero_order", rtol=1e-10)
    shared = {"std": STD, "pairs": PAIRS, "steps": STEPS}
    return [
        make(
            {**shared, "antithetic": False}, partial(_torchopt, "naive", 2 * PAIRS), variant="naive"
        ),
        make(
            {**shared, "antithetic": True}, partial(_torchopt, "antithetic", PAIRS), variant="pairs"
        ),
    ]


def authors_cases(root: Path) -> list[Case]:
    settings = {"std": STD, "pairs": PAIRS, "steps": STEPS, "truncation": LENGTH}
    driver = "The function is fed with losses of NumPy's; a new problem begins with a masked step."
    make = partial(Case, "learned_optimization", rtol=1e-10)
    return [
        make(
            "persistent_evolution_strategies",
            "truncated_pes.compute_pes_grad",
            settings,
            partial(_learned_optimization, root, True),
            notes=(driver,),
            checkout="pes",
        ),
        make(
            "evolution_strategies",
            "truncated_es.compute_es_grad",
            settings,
            partial(_learned_optimization, root, False),
            notes=(
                driver,
                "Inner states move under the unperturbed theta, as in the paper's algorithm 1; the "
                "package's TruncatedES goes on from the positive perturbations.",
            ),
            checkout="es",
        ),
    ]
