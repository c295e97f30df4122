"""The shapes of parameters that steps are timed on."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

Shapes = tuple[tuple[int, ...], ...]


@dataclasses.dataclass(frozen=True)
class Workload:
    """Parameters to be stepped.

    Attributes:
      name: what tables call it.
      shapes: one for each array, all float32.
    """

    name: str
    shapes: Shapes

    @property
    def parameters(self) -> int:
        return sum(math.prod(shape) for shape in self.shapes)

    @property
    def title(self) -> str:
        count, leaves = self.parameters, len(self.shapes)
        size = f"{count / 1e6:.3g}M" if count >= 1e6 else f"{count / 1e3:.3g}k"
        return f"{self.name} ({size} parameters, {leaves} array{'s' * (leaves > 1)})"

    def arrays(self, seed: int) -> list[np.ndarray]:
        """Normal numbers of the size of gradients, the same for everybody."""
        draw = np.random.default_rng(seed)
        return [
            np.float32(0.01) * draw.standard_normal(shape, dtype=np.float32)
            for shape in self.shapes
        ]


def gpt2(
    width: int = 768, layers: int = 12, vocabulary: int = 50257, context: int = 1024
) -> Shapes:
    """The parameters of GPT-2, by default the one of 124M in 148 arrays."""
    block = (
        (width,),
        (width,),
        (width, 3 * width),
        (3 * width,),
        (width, width),
        (width,),
        (width,),
        (width,),
        (width, 4 * width),
        (4 * width,),
        (4 * width, width),
        (width,),
    )
    return ((vocabulary, width), (context, width), *(block * layers), (width,), (width,))


def workloads(tiny: bool = False) -> dict[str, Workload]:
    """All workloads by key; with `tiny`, of the same structure and a thousandth of the size."""
    if tiny:
        shapes = {
            "leaf": ((20_000,),),
            "gpt2": gpt2(width=8, layers=2, vocabulary=50, context=8),
            "many": ((10,),) * 20,
            "small matrices": ((8, 8),) * 6,
            "large matrices": ((16, 16),) * 4 + ((16, 64),) * 2,
        }
    else:
        shapes = {
            "leaf": ((20_000_000,),),
            "gpt2": gpt2(),
            "many": ((1_000,),) * 2_000,
            "small matrices": ((32, 32),) * 200,
            "large matrices": ((768, 768),) * 48 + ((768, 3072),) * 24,
        }
    names = {
        "leaf": "one array",
        "gpt2": "GPT-2",
        "many": "many small arrays",
        "small matrices": "equal small matrices",
        "large matrices": "large matrices",
    }
    return {key: Workload(names[key], shapes[key]) for key in shapes}
