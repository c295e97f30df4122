"""Drive a torch optimizer with stored gradients, and read its state after every step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch

from . import problems
from .case import Arrays

# Some packages keep scalars of their state in the default type, whatever the parameters have.
torch.set_default_dtype(torch.float64)

State = dict[str, Any]
Read = Callable[[State], torch.Tensor]
ANCHORED = (
    " The rule does not read the parameters, so they are set to zero before each step, which "
    "makes the stored update exact."
)


class Transform:
    """A gradient transformation dressed as an optimizer: adds what it makes of the gradient."""

    def __init__(self, params: Iterable[torch.Tensor], change: Callable) -> None:
        self.params, self.change = list(params), change
        self.state: dict[torch.Tensor, State] = {p: {} for p in self.params}

    def step(self) -> None:
        for p in self.params:
            p.data.add_(self.change(p))


def drive(
    make: Callable[[list[torch.Tensor]], Any],
    *,
    states: dict[str, str | Read] | None = None,
    shape: tuple[int, ...] = (12,),
    dtype: torch.dtype = torch.float64,
    reads_params: bool = False,
    transpose: bool = False,
) -> tuple[str, Arrays]:
    """Run `make([parameter])` over the gradient sequence of this shape.

    `transpose` hands the package the transposed matrices: torch stores a layer as (out, in), the
    curves as (in, out).
    """
    gradients, params = problems.gradient_sequence(shape), problems.initial_params(shape)
    turn = (lambda a: np.swapaxes(a, -1, -2)) if transpose else (lambda a: a)
    p = torch.tensor(np.ascontiguousarray(turn(params)), dtype=dtype, requires_grad=True)
    optimizer = make([p])
    readers = {name: _reader(how) for name, how in (states or {}).items()}
    rows: dict[str, list[np.ndarray]] = {"updates": []} | {f"state_{n}": [] for n in readers}
    for gradient in turn(gradients):
        if not reads_params:
            p.data.zero_()
        before = p.detach().clone()
        p.grad = torch.tensor(np.ascontiguousarray(gradient), dtype=dtype)
        optimizer.step()
        rows["updates"].append((p.detach() - before).numpy())
        for name, read in readers.items():
            rows[f"state_{name}"].append(read(optimizer.state[p]).detach().clone().numpy())
    text = problems.SEQUENCE.format(steps=problems.STEPS, shape=shape, seed=problems.SEED)
    stacked = {name: np.ascontiguousarray(turn(np.stack(v))) for name, v in rows.items()}
    kind = stacked["updates"].dtype
    arrays = {"gradients": gradients.astype(kind), "params": params.astype(kind), **stacked}
    return text + ("" if reads_params else ANCHORED), arrays


def _reader(how: str | Read) -> Read:
    return (lambda state: state[how]) if isinstance(how, str) else how
