"""Which implementations of one method are compared, and the ratio that was aimed at."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import optax

import gradlab as gl

Make = Callable[[], Any]

SAME = (
    "The compiled step has optax's own kernels (see the arrays moved), and so optax's time up to "
    "the noise of the run."
)


@dataclasses.dataclass(frozen=True)
class Pair:
    """One method in several libraries, with equal hyperparameters.

    Attributes:
      method: what tables call it.
      gradlab: builds ours.
      optax: builds theirs.
      torch: builds torch's from a list of parameters; None where torch has no such method.
      max_norm: what torch clips gradients to before the step.
      target: the largest ratio of our time to optax's that was aimed at, by workload.
      why: what keeps it from more, shown where a target is missed.
    """

    method: str
    gradlab: Make
    optax: Make
    torch: Callable[[list], Any] | None = None
    max_norm: float | None = None
    target: dict[str, float] = dataclasses.field(default_factory=dict)
    why: str = SAME


def _torch(name: str, **settings: Any) -> Callable[[list], Any]:
    def make(params: list) -> Any:
        import torch

        return getattr(torch.optim, name)(params, **settings)

    return make


RATE = 1e-3
# No target of its own: not slower than optax beyond the spread of the run.
HALF = {"leaf": 0.5, "gpt2": 0.5}

STEPS = (
    Pair(
        "adamw",
        lambda: gl.adamw(RATE),
        lambda: optax.adamw(RATE),
        _torch("AdamW", lr=RATE, weight_decay=1e-4, fused=True),
    ),
    Pair(
        "clip_by_global_norm, adamw",
        lambda: gl.chain(gl.clip_by_global_norm(1.0), gl.adamw(RATE)),
        lambda: optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(RATE)),
        _torch("AdamW", lr=RATE, weight_decay=1e-4, fused=True),
        max_norm=1.0,
        target=HALF,
        why="XLA on CPU writes one array a kernel: eight arrays are read and three written, and "
        "reading is what the machine runs out of (its rate is in the head of this file). Less "
        "needs one pass over memory; the table one-pass shows what was tried. The gain over optax "
        "is the clipped copy, and a fresh buffer costs little on this machine.",
    ),
    Pair("lion", lambda: gl.lion(RATE), lambda: optax.lion(RATE), target=HALF),
    Pair(
        "adopt",
        lambda: gl.adopt(RATE),
        lambda: optax.contrib.adopt(RATE),
        target=HALF,
        why="Seven arrays are read and three written, as by AdamW: XLA on CPU writes one array a "
        "kernel. optax's copy is gone; what is left is the rate of reading.",
    ),
    Pair(
        "adabelief",
        lambda: gl.adabelief(RATE),
        lambda: optax.adabelief(RATE),
        target={"leaf": 0.6, "gpt2": 0.6},
    ),
    Pair(
        "sgd, momentum",
        lambda: gl.sgd(RATE, 0.9),
        lambda: optax.sgd(RATE, 0.9),
        _torch("SGD", lr=RATE, momentum=0.9, fused=True),
    ),
    Pair(
        "adam",
        lambda: gl.adam(RATE),
        lambda: optax.adam(RATE),
        _torch("Adam", lr=RATE, fused=True),
    ),
    Pair(
        "adagrad",
        lambda: gl.adagrad(RATE),
        lambda: optax.adagrad(RATE),
        _torch("Adagrad", lr=RATE, initial_accumulator_value=0.1, fused=True),
    ),
    Pair(
        "adamax",
        lambda: gl.adamax(RATE),
        lambda: optax.adamax(RATE),
        _torch("Adamax", lr=RATE, foreach=True),
    ),
    Pair(
        "rmsprop",
        lambda: gl.rmsprop(RATE),
        lambda: optax.rmsprop(RATE),
        _torch("RMSprop", lr=RATE, alpha=0.9, foreach=True),
    ),
    Pair(
        "nadamw",
        lambda: gl.nadamw(RATE),
        lambda: optax.nadamw(RATE),
        _torch("NAdam", lr=RATE, weight_decay=1e-4, decoupled_weight_decay=True, foreach=True),
    ),
    Pair(
        "radam",
        lambda: gl.radam(RATE),
        lambda: optax.radam(RATE),
        _torch("RAdam", lr=RATE, foreach=True),
    ),
    Pair("amsgrad", lambda: gl.amsgrad(RATE), lambda: optax.amsgrad(RATE)),
    Pair("ademamix", lambda: gl.ademamix(RATE), lambda: optax.contrib.ademamix(RATE)),
    Pair(
        "adaptive_grad_clip, sgd",
        lambda: gl.chain(gl.adaptive_grad_clip(0.01), gl.sgd(RATE)),
        lambda: optax.chain(optax.adaptive_grad_clip(0.01), optax.sgd(RATE)),
    ),
    Pair(
        "add_noise, sgd",
        lambda: gl.chain(gl.add_noise(0.01, 0.55, 0), gl.sgd(RATE)),
        lambda: optax.chain(optax.add_noise(0.01, 0.55, 0), optax.sgd(RATE)),
    ),
)

MANY = (
    Pair(
        "adamw",
        lambda: gl.adamw(RATE),
        lambda: optax.adamw(RATE),
        _torch("AdamW", lr=RATE, weight_decay=1e-4, fused=True),
    ),
)

MUON = Pair(
    "muon",
    lambda: gl.muon(0.02),
    lambda: optax.contrib.muon(0.02),
    _torch("Muon", lr=0.02, weight_decay=0.0),
    target={"small matrices": 0.5, "large matrices": 0.65},
    why="What is left are the products of the iteration, near the rate of large products in this "
    "run (fewer operations, on the Gramian alone, would be another numerics), and, for small "
    "matrices, arrays that are stacked and cut apart one by one around them.",
)
