"""Units that begin anew, in a network of weights `w[0], w[1], ...` with biases `b[0], ...`.

`w[l]` has shape (inputs, outputs); hidden layer l lies between `w[l]` and `w[l + 1]`. The
networks are lists, `[w, b]`; what is drawn for new units comes from outside.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def heavy_ball(network: Any, traces: Any, gradients: Any, learning_rate: float, momentum: float):
    for arrays, trace, gradient in zip(network, traces, gradients, strict=True):
        for i, g in enumerate(gradient):
            trace[i] = momentum * trace[i] + g
            arrays[i] = arrays[i] - learning_rate * trace[i]


def begin_anew(network: Any, traces: Any, layer: int, unit: int, fresh: np.ndarray) -> None:
    (w, b), (tw, tb) = network, traces
    w[layer][:, unit] = fresh[:, unit]
    b[layer][unit] = 0
    w[layer + 1][unit, :] = 0
    tw[layer][:, unit] = 0
    tb[layer][unit] = 0
    tw[layer + 1][unit, :] = 0


def _started(network: Any) -> tuple[Any, Any]:
    network = [[x.copy() for x in arrays] for arrays in network]
    return network, [[np.zeros_like(x) for x in arrays] for arrays in network]


def continual_backprop(
    gradients: Any,
    activations: Any,
    fresh: Any,
    network: Any,
    *,
    learning_rate: float,
    momentum: float,
    replacement_rate: float,
    decay: float,
    maturity: int,
) -> Iterator[tuple[Any, Any]]:
    """Dohare et al. 2024, Nature 632, equation 1 and the algorithm beside it.

    Several units at a time where more than one is due, as in the authors' code with
    `accumulate=True`. Yields the network and the traces after each step.
    """
    network, traces = _started(network)
    hidden = range(len(network[0]) - 1)
    utility = [np.zeros(network[0][layer].shape[1]) for layer in hidden]
    age = [np.zeros(len(u), int) for u in utility]
    due = [0.0 for _ in hidden]
    for step, (gradient, h) in enumerate(zip(gradients, activations, strict=True)):
        heavy_ball(network, traces, gradient, learning_rate, momentum)
        chosen = []
        for layer in hidden:
            age[layer] += 1
            reach = np.abs(network[0][layer + 1]).sum(1)
            contribution = np.abs(h[layer]).mean(0) * reach
            utility[layer] = decay * utility[layer] + (1 - decay) * contribution
            eligible = np.flatnonzero(age[layer] > maturity)
            due[layer] += replacement_rate * len(eligible)
            units = eligible[np.argsort(utility[layer][eligible])][: int(due[layer])]
            due[layer] -= len(units)
            chosen.append(units)
        for layer, units in enumerate(chosen):
            for unit in units:
                begin_anew(network, traces, layer, unit, fresh[step][layer])
                utility[layer][unit], age[layer][unit] = 0, 0
        yield _copied(network), _copied(traces)


def recycle_dormant_units(
    gradients: Any,
    activations: Any,
    fresh: Any,
    network: Any,
    *,
    learning_rate: float,
    momentum: float,
    threshold: float,
    every: int,
) -> Iterator[tuple[Any, Any]]:
    """Sokar et al. 2023, arXiv:2302.12902, algorithm 1 and the moments' reset beside it."""
    network, traces = _started(network)
    for step, (gradient, h) in enumerate(zip(gradients, activations, strict=True)):
        heavy_ball(network, traces, gradient, learning_rate, momentum)
        if (step + 1) % every == 0:
            for layer in range(len(network[0]) - 1):
                size = np.abs(h[layer]).mean(0)
                for unit in np.flatnonzero(size / size.mean() <= threshold):
                    begin_anew(network, traces, layer, unit, fresh[step][layer])
        yield _copied(network), _copied(traces)


def _copied(lists: Any) -> Any:
    return [[x.copy() for x in arrays] for arrays in lists]
