"""What a training problem is: parameters, a loss, batches and a number to judge by."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

Params = Any
Batch = Any


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """A training problem with its data on the device.

    Every function is pure and works inside `jit`, `vmap` and `scan`: a batch is chosen by a key
    alone, so that two optimizers given the same key see the same batches.

    Args:
        name: the name in the registry.
        title: the name to print.
        init: key -> initial parameters.
        loss: (parameters, batch) -> training loss, a scalar.
        sample: key -> batch, drawn with replacement from the training data.
        evaluate: parameters -> the metric on held-out data, a scalar; lower is better.
        metric: what `evaluate` measures.
        metric_unit: the unit of the metric.
        batch_size: examples per batch.
        settings: the values that the problem was made with.
        sources: where the data come from, such as versions and a hash of the text.
    """

    name: str
    title: str
    init: Callable[[jax.Array], Params]
    loss: Callable[[Params, Batch], jax.Array]
    sample: Callable[[jax.Array], Batch]
    evaluate: Callable[[Params], jax.Array]
    metric: str
    metric_unit: str
    batch_size: int
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    sources: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def parameters(self) -> int:
        """The number of parameters, counted without making any."""
        shapes = jax.eval_shape(self.init, jax.random.PRNGKey(0))
        return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes))
