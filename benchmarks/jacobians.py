"""One step with several objectives, in gradlab and in torchjd: the same network and losses.

A network of two hidden layers has one output for each task. The losses of tasks are the mean
squared errors of the outputs, and their gradients are stacked. The losses of examples are the
squared errors of single rows, and only the inner products of their gradients are formed.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gradlab as gl
from benchmarks import contenders, peak
from gradlab.aggregators import value_and_gradient, value_and_jacobian

RATE = 1e-2
EPS = 1e-4  # torchjd's own regularisation, asked of both
SIDES = ("gradlab", "torchjd")


@dataclasses.dataclass(frozen=True)
class Network:
    """A network and its data.

    Attributes:
      tasks: outputs, and losses where each task is an objective.
      width: units of each of the two hidden layers.
      batch: examples of a step.
      inputs: numbers in an example.
    """

    tasks: int
    width: int
    batch: int
    inputs: int = 64

    @property
    def sizes(self) -> tuple[int, ...]:
        return (self.inputs, self.width, self.width, self.tasks)

    @property
    def parameters(self) -> int:
        return sum((m + 1) * n for m, n in pairwise(self.sizes))

    def arrays(self) -> tuple[list[tuple[np.ndarray, np.ndarray]], np.ndarray, np.ndarray]:
        """Weights and biases, inputs and targets: the same for everybody."""
        draw = np.random.default_rng(0)

        def normal(*shape: int) -> np.ndarray:
            return draw.standard_normal(shape, dtype=np.float32)

        layers = [
            (np.float32((2 / m) ** 0.5) * normal(m, n), np.zeros(n, np.float32))
            for m, n in pairwise(self.sizes)
        ]
        return layers, normal(self.batch, self.inputs), normal(self.batch, self.tasks)


@dataclasses.dataclass(frozen=True)
class Pair:
    """One aggregator in both libraries.

    Attributes:
      method: what tables call it.
      gradlab: builds ours.
      torchjd: the name of theirs and its arguments.
      gramian: whether torchjd weighs gradients by their inner products, and so has a second
        way, which joins no Jacobian (`optimize_gramian_computation`).
      same: empty where both compute the same update; else how they differ.
      why: what our own part of the step consists of, shown where a target is missed.
    """

    method: str
    gradlab: Callable[[], Any]
    torchjd: tuple[str, dict[str, Any]]
    gramian: bool = True
    same: str = ""
    why: str = ""


_PROGRAM = (
    "takes a Cholesky decomposition of a matrix of all objectives for each of a few guesses of "
    "what is zero; torchjd's solver is an active-set method, compiled, that changes one "
    "constraint at a time."
)

PAIRS = (
    Pair("mean_gradient", gl.mean_gradient, ("Mean", {}), gramian=False),
    Pair(
        "upgrad",
        lambda: gl.upgrad(reg_eps=EPS, norm_eps=EPS),
        ("UPGrad", {}),
        why=f"For every objective a program {_PROGRAM}",
    ),
    Pair(
        "dualproj",
        lambda: gl.dualproj(reg_eps=EPS, norm_eps=EPS),
        ("DualProj", {}),
        why=f"Its program {_PROGRAM}",
    ),
    Pair("mgda", gl.mgda, ("MGDA", {}), same="theirs stops Frank–Wolfe short of the solution"),
    Pair("pcgrad", gl.pcgrad, ("PCGrad", {}), same="each draws orders of its own"),
    Pair("imtl_g", gl.imtl_g, ("IMTLG", {})),
    Pair("aligned_mtl", gl.aligned_mtl, ("AlignedMTL", {})),
    Pair("config", gl.config, ("ConFIG", {}), gramian=False),
    Pair("graddrop", gl.graddrop, ("GradDrop", {}), gramian=False, same="draws of their own"),
)
BY_NAME = {pair.method: pair for pair in PAIRS}
UPGRAD = BY_NAME["upgrad"]


def has_torchjd() -> bool:
    """Whether torchjd can be asked, on the kind of device that JAX uses."""
    return importlib.util.find_spec("torchjd") is not None and bool(contenders.torch_device())


def forward(params: list, x: jax.Array) -> jax.Array:
    for weights, bias in params[:-1]:
        x = jax.nn.relu(x @ weights + bias)
    return x @ params[-1][0] + params[-1][1]


def losses_of_tasks(params: list, x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.mean((forward(params, x) - y) ** 2, axis=0)


def loss_of_example(params: list, example: tuple) -> jax.Array:
    return jnp.mean((forward(params, example[0]) - example[1]) ** 2)


Call = Callable[[], None]


def gradlab_step(network: Network, pair: Pair | None, per_example: bool) -> tuple[Call, Any, Any]:
    """Our step.

    Args:
      network: the network and its data.
      pair: the aggregator; None for the Jacobian alone.
      per_example: whether each example is an objective; else each task is.

    Returns:
      A call that makes one step and waits for it, what the compiler says of its memory, and
      a list that holds the parameters.
    """
    layers, *data = network.arrays()
    params: Any = jax.tree.map(jnp.array, layers)
    x, y = (jnp.asarray(values) for values in data)
    opt = gl.sgd(RATE)
    if pair is None:
        program = jax.jit(lambda p, x, y: value_and_jacobian(losses_of_tasks, p, x, y))
        jacobian = program.lower(params, x, y).compile()

        def alone() -> None:
            jax.block_until_ready(jacobian(params, x, y))

        return alone, jacobian.memory_analysis(), [params]
    surgery = pair.gradlab()

    def step(params: Any, state: Any, x: jax.Array, y: jax.Array) -> Any:
        first, second = state
        if per_example:
            _, gradient, first = value_and_gradient(surgery, loss_of_example, params, (x, y), first)
        else:
            values, stack = value_and_jacobian(losses_of_tasks, params, x, y)
            gradient, first = surgery.update(stack, first, params, losses=values)
        updates, second = opt.update(gradient, second, params)
        return gl.apply_updates(params, updates), (first, second)

    state = (surgery.init(params), opt.init(params))
    compiled = jax.jit(step, donate_argnums=(0, 1)).lower(params, state, x, y).compile()
    carry = [params, state]

    def once() -> None:
        carry[:] = compiled(*carry, x, y)
        jax.block_until_ready(carry)

    return once, compiled.memory_analysis(), carry


def torchjd_step(
    network: Network, pair: Pair | None, per_example: bool, joined: bool = True
) -> tuple[Call, list]:
    """Theirs; with `joined` Jacobians of all parameters are joined first, as it does by default.

    Returns:
      A call that makes one step and waits for it, and the parameters.
    """
    import torch
    from torchjd import aggregation
    from torchjd.autogram import Engine
    from torchjd.autojac import backward, jac_to_grad

    device = contenders.torch_device()
    layers, *data = network.arrays()
    x, y = (torch.from_numpy(values).to(device) for values in data)
    parts: list[torch.nn.Module] = []
    for weights, bias in layers:
        linear = torch.nn.Linear(*weights.shape)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weights.T))
            linear.bias.copy_(torch.from_numpy(bias))
        parts += [linear, torch.nn.ReLU()]
    model = torch.nn.Sequential(*parts[:-1]).to(device)
    params = list(model.parameters())
    optimizer = torch.optim.SGD(params, lr=RATE)
    name, settings = pair.torchjd if pair else ("Mean", {})
    suffix = "Weighting" if per_example else ""
    surgery = getattr(aggregation, name + suffix)(**settings)
    engine = Engine(model, batch_dim=0) if per_example else None
    options = {} if joined else {"optimize_gramian_computation": True}

    def once() -> None:
        errors = (model(x) - y) ** 2
        if engine is not None:
            losses = errors.mean(dim=1)
            losses.backward(surgery(engine.compute_gramian(losses)))
        else:
            backward(errors.mean(dim=0))
            if pair is None:
                for p in params:
                    del p.jac
            else:
                jac_to_grad(params, surgery, **options)
        if pair is not None:
            optimizer.step()
            optimizer.zero_grad()
        if device == "cuda":
            torch.cuda.synchronize()

    return once, params


def peak_growth(side: str, network: Network, pair: Pair, per_example: bool) -> int | None:
    """How much resident memory grows in a step, at its peak, in a process of its own [bytes].

    Parameters, data and both libraries are there before, and a step of a small network has been
    made. None where the system does not count.
    """
    told = [side, dataclasses.asdict(network), pair.method, per_example]
    return peak.growth_apart("benchmarks.jacobians", told)


def main(told: str) -> None:
    """What `peak_growth` runs: prints bytes."""
    side, shape, method, per_example = json.loads(told)
    pair, network = BY_NAME[method], Network(**shape)

    def made(size: Network) -> Call:
        if side == "gradlab":
            return gradlab_step(size, pair, per_example)[0]
        return torchjd_step(size, pair, per_example, joined=not pair.gramian)[0]

    made(Network(tasks=network.tasks, width=4, batch=4))()
    print(peak.growth_of(made(network)))


if __name__ == "__main__":
    main(sys.argv[1])
