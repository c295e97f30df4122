"""Curves of 8-bit AdamW of bitsandbytes, and of torch's gradient scaler."""

from __future__ import annotations

from functools import partial

import bitsandbytes
import numpy as np
import torch

from . import problems
from .case import Arrays, Case

STEPS = 40
SIZE = 600  # two blocks and a part of one
ADAMW = {"learning_rate": 1e-2, "b1": 0.9, "b2": 0.999, "eps": 1e-8, "weight_decay": 1e-2}
SCALER = {
    "learning_rate": 0.125,
    "initial_scale": 1024.0,
    "growth_factor": 2.0,
    "backoff_factor": 0.5,
    "growth_interval": 4,
}


def _gradients(shape: tuple[int, ...]) -> np.ndarray:
    """Random gradients of sizes over two decades."""
    rng = np.random.default_rng([problems.SEED, 80, *shape])
    scale = 10.0 ** rng.uniform(-1.0, 1.0, shape)
    values = scale * (0.5 * rng.standard_normal(shape) + rng.standard_normal((STEPS, *shape)))
    return problems.short(values).astype(np.float32)


def _adamw_8bit() -> tuple[str, Arrays]:
    gradients = _gradients((SIZE,))
    start = problems.initial_params((SIZE,)).astype(np.float32)
    p = torch.nn.Parameter(torch.tensor(start))
    optimizer = bitsandbytes.optim.AdamW8bit(
        [p],
        lr=ADAMW["learning_rate"],
        betas=(ADAMW["b1"], ADAMW["b2"]),
        eps=ADAMW["eps"],
        weight_decay=ADAMW["weight_decay"],
        min_8bit_size=0,
    )
    names = {
        "codes_mu": "state1",
        "codes_nu": "state2",
        "scales_mu": "absmax1",
        "scales_nu": "absmax2",
    }
    rows: dict[str, list[np.ndarray]] = {"updates": [], **{name: [] for name in names}}
    for g in gradients:
        before = p.detach().clone()
        p.grad = torch.tensor(g)
        optimizer.step()
        rows["updates"].append((p.detach() - before).numpy())
        for name, theirs in names.items():
            rows[name].append(optimizer.state[p][theirs].clone().numpy())
    create = bitsandbytes.functional.create_dynamic_map
    maps = {
        "signed_map": create(signed=True).numpy(),
        "unsigned_map": create(signed=False).numpy(),
        "signed_map_of_4_bits": _four_bits(create(signed=True, max_exponent_bits=3, total_bits=4)),
    }
    text = f"Closed loop: {STEPS} random gradients of {SIZE} numbers over two decades."
    return text, {
        "gradients": gradients,
        "params": start,
        **maps,
        **{name: np.stack(values) for name, values in rows.items()},
    }


def _four_bits(padded: torch.Tensor) -> np.ndarray:
    """The package fills maps of fewer bits with zeros, up to 256 levels."""
    values = np.unique(padded.numpy())
    assert values.size == 16
    return values


def _grad_scaler() -> tuple[str, Arrays]:
    """Gradients of a scaled loss; where `overflows` says so, their first number is infinite."""
    unscaled = _gradients((5,)).astype(np.float64)
    overflows = np.zeros(STEPS, bool)
    overflows[[0, 1, 9, 17, 18, 19]] = True
    start = problems.initial_params((5,))
    p = torch.nn.Parameter(torch.tensor(start))
    optimizer = torch.optim.SGD([p], lr=SCALER["learning_rate"])
    scaler = torch.amp.GradScaler(
        "cpu",
        init_scale=SCALER["initial_scale"],
        growth_factor=SCALER["growth_factor"],
        backoff_factor=SCALER["backoff_factor"],
        growth_interval=int(SCALER["growth_interval"]),
    )
    rows: dict[str, list] = {"gradients": [], "updates": [], "state_scale": [], "state_count": []}
    for g, overflow in zip(unscaled, overflows, strict=True):
        before = p.detach().clone()
        p.grad = scaler.scale(torch.tensor(g)).detach().clone()
        rows["gradients"].append(p.grad.numpy().copy())
        if overflow:
            p.grad[0] = torch.inf
        scaler.step(optimizer)
        scaler.update()
        rows["updates"].append((p.detach() - before).numpy())
        rows["state_scale"].append(np.float64(scaler.get_scale()))
        rows["state_count"].append(np.int32(scaler._get_growth_tracker()))
    text = (
        f"{STEPS} random gradients of 5 numbers times the scale of that step; at six steps, "
        "overflows says which, the first number of the gradient is infinite."
    )
    arrays = {name: np.stack(values) for name, values in rows.items()}
    return text, {"params": start, "overflows": overflows, **arrays}


def cases() -> list[Case]:
    floor = (
        "A second moment below half of the smallest level becomes zero; here it becomes that "
        "level. The kernel for CPUs misses the nearest level of one small number in twenty, by "
        "up to six levels."
    )
    return [
        Case(
            "bitsandbytes",
            "quantize_state",
            "bitsandbytes.optim.AdamW8bit",
            ADAMW,
            partial(_adamw_8bit),
            dtype="float32",
            departures=(floor,),
            notes=("min_8bit_size=0: by default arrays below 4096 numbers stay in 32 bits.",),
            rtol=1e-5,
        ),
        Case(
            "torch",
            "dynamic_loss_scale",
            "torch.amp.GradScaler",
            SCALER,
            partial(_grad_scaler),
            notes=("The inner optimizer is sgd with the learning rate of the settings.",),
        ),
    ]
