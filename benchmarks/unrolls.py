"""One hypergradient in three libraries: through Adam steps of the digits MLP, from the same start.

All train on the same batches from the same parameters, and ask how the loss on held-out digits
changes with Adam's hyperparameters.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import json
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import gradlab as gl
from benchmarks import peak
from gradlab.problems import Problem, digits_mlp

SETTINGS = {"learning_rate": 3e-3, "b1": 0.9, "b2": 0.999, "eps": 1e-8, "eps_root": 1e-8}
RATE = ("learning_rate",)
ALL = tuple(SETTINGS)
IN_A_HURRY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


@dataclasses.dataclass(frozen=True)
class Run:
    """Training, and what of its end is asked.

    Attributes:
      steps: of Adam.
      by: hyperparameters by which the held-out loss is differentiated.
      width: units of each of the two hidden layers.
      batch: images of a step.
      eps_root: inside of Adam's root.
      hurry: whether programs are compiled without the expensive passes, to see them run.
    """

    steps: int
    by: tuple[str, ...] = RATE
    width: int = 32
    batch: int = 64
    eps_root: float = SETTINGS["eps_root"]
    hurry: bool = False

    @property
    def settings(self) -> dict[str, float]:
        """Every hyperparameter."""
        return {**SETTINGS, "eps_root": self.eps_root}

    @property
    def problem(self) -> Problem:
        return digits_mlp(batch_size=self.batch, width=self.width)

    def arrays(self) -> tuple[Any, Any]:
        """Initial parameters, and the batches of all steps: the same for everybody."""
        problem = self.problem
        keys = jax.random.split(jax.random.PRNGKey(1), self.steps)
        return problem.init(jax.random.PRNGKey(0)), jax.jit(jax.vmap(problem.sample))(keys)


class Side(NamedTuple):
    """A hypergradient that is ready to be computed.

    Attributes:
      call: computes it; when it returns, the numbers are there.
      compile_seconds: tracing and compiling, None where nothing is compiled.
      temporary_bytes: what the compiled program asks for beside arguments and results, by its
        own analysis.
      threads: in how many it works, where that was a choice; the faster was taken.
    """

    call: Callable[[], dict[str, float]]
    compile_seconds: float | None = None
    temporary_bytes: int | None = None
    threads: int | None = None


def compiled(run: Run, train: Callable[[Any, Problem, Any, Any], Any], adam: Any) -> Side:
    """The hypergradient of a training loop in JAX.

    Args:
      run: what is asked.
      train: `train(opt, problem, params, batches)` gives the parameters at the end.
      adam: the library's Adam; what is not asked for is a plain number.
    """
    params, batches = run.arrays()
    problem, fixed = run.problem, {k: x for k, x in run.settings.items() if k not in run.by}

    def held_out(asked: dict[str, jax.Array], params: Any, batches: Any) -> jax.Array:
        return problem.evaluate(train(adam(**fixed, **asked), problem, params, batches))

    asked = {name: jnp.float32(run.settings[name]) for name in run.by}
    options = IN_A_HURRY if run.hurry else None
    start = time.perf_counter()
    program = jax.jit(jax.grad(held_out)).lower(asked, params, batches).compile(options)
    took = time.perf_counter() - start

    def call() -> dict[str, float]:
        return {name: float(x) for name, x in program(asked, params, batches).items()}

    return Side(call, took, program.memory_analysis().temp_size_in_bytes)


def unrolled(memory: str | int) -> Callable[[Run], Side]:
    """Ours, with a mode of memory."""

    def train(opt: Any, problem: Problem, params: Any, batches: Any) -> Any:
        return gl.meta.unroll(opt, problem.loss, params, batches, memory=memory).params

    return lambda run: compiled(run, train, gl.adam)


def scanned(run: Run) -> Side:
    """optax's Adam, made inside of the differentiated function, in a scan."""

    def train(opt: Any, problem: Problem, params: Any, batches: Any) -> Any:
        def step(carry: Any, batch: Any) -> tuple[Any, None]:
            params, state = carry
            updates, state = opt.update(jax.grad(problem.loss)(params, batch), state, params)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, opt.init(params)), batches)[0][0]

    return compiled(run, train, optax.adam)


def meta_adam(fused: bool) -> Callable[[Run], Side]:
    """TorchOpt's differentiable Adam; with `fused` its one operator for Adam's arithmetic."""

    def build(run: Run) -> Side:
        import torch
        import torchopt

        def tensor(x: Any) -> torch.Tensor:
            return torch.from_numpy(np.array(x))

        params, batches = run.arrays()
        layers = [(tensor(layer["weights"]).T, tensor(layer["bias"])) for layer in params]
        images, labels = tensor(batches[0]), tensor(batches[1]).long()
        held_out = [tensor(x) for x in held_out_digits()]
        loss = torch.nn.functional.cross_entropy

        def network() -> torch.nn.Module:
            parts: list[torch.nn.Module] = []
            for weights, bias in layers:
                linear = torch.nn.Linear(weights.shape[1], weights.shape[0])
                linear.weight = torch.nn.Parameter(weights.clone())
                linear.bias = torch.nn.Parameter(bias.clone())
                parts += [linear, torch.nn.ReLU()]
            return torch.nn.Sequential(*parts[:-1])

        def hypergradient(steps: int) -> dict[str, float]:
            asked = {name: torch.tensor(run.settings[name], requires_grad=True) for name in run.by}
            now = {**run.settings, **asked}
            model = network()
            optimizer = torchopt.MetaAdam(
                model,
                now["learning_rate"],
                (now["b1"], now["b2"]),
                now["eps"],
                eps_root=now["eps_root"],
                use_accelerated_op=fused,
            )
            for x, y in zip(images[:steps], labels[:steps], strict=True):
                optimizer.step(loss(model(x), y))
            end = loss(model(held_out[0]), held_out[1].long())
            slopes = torch.autograd.grad(end, list(asked.values()))
            return {name: float(x) for name, x in zip(asked, slopes, strict=True)}

        def in_threads(count: int, steps: int) -> tuple[dict[str, float], float]:
            before = torch.get_num_threads()
            torch.set_num_threads(count)
            start = time.perf_counter()
            found = hypergradient(steps)
            took = time.perf_counter() - start
            torch.set_num_threads(before)
            return found, took

        threads = min((1, torch.get_num_threads()), key=lambda n: in_threads(n, 10)[1])
        return Side(lambda: in_threads(threads, run.steps)[0], threads=threads)

    return build


def held_out_digits() -> tuple[np.ndarray, np.ndarray]:
    """The images and labels that the problem is judged by."""
    from gradlab.problems._digits import digits

    return digits()[1]


@dataclasses.dataclass(frozen=True)
class Way:
    """One way to a hypergradient.

    Attributes:
      name: what tables call it.
      library: whose it is.
      build: makes it ready.
      by: hyperparameters by which it can differentiate.
    """

    name: str
    library: str
    build: Callable[[Run], Side]
    by: tuple[str, ...] = ALL

    def of(self, run: Run) -> Side:
        """Ready for as much of what is asked as it can."""
        return self.build(dataclasses.replace(run, by=self.able(run)))

    def able(self, run: Run) -> tuple[str, ...]:
        return tuple(name for name in run.by if name in self.by)


PLAIN = Way("plain", "gradlab", unrolled("plain"))
SEGMENTS = Way("segments of √n", "gradlab", unrolled("segments"))
EVERY_STEP = Way("every step a checkpoint", "gradlab", unrolled("steps"))
OPTAX = Way("optax in a scan", "optax", scanned)
META_ADAM = Way(
    "TorchOpt's MetaAdam", "torchopt", meta_adam(fused=False), ("learning_rate", "eps", "eps_root")
)
FUSED = Way("TorchOpt's MetaAdam, fused", "torchopt", meta_adam(fused=True), RATE)
WAYS = (PLAIN, SEGMENTS, EVERY_STEP, OPTAX, META_ADAM, FUSED)
BY_NAME = {way.name: way for way in WAYS}


def ways(run: Run) -> tuple[Way, ...]:
    """Those that are installed; the fused one only where it answers as much as is asked."""
    installed = importlib.util.find_spec("torchopt") is not None
    there = [way for way in WAYS if installed or way.library != "torchopt"]
    return tuple(way for way in there if way is not FUSED or way.able(run) == run.by)


def fused_operator() -> str:
    """What TorchOpt's fused operator runs as here: its wheel is made for one version of torch."""
    try:
        importlib.import_module("torchopt._C")
    except ImportError:
        return "in Python"
    return "compiled"


def peak_growth(way: Way, run: Run) -> int | None:
    """How much resident memory grows at its peak in a process of its own [bytes].

    Arrays and libraries are there before, a program is compiled, and a run of two steps has been
    made.
    """
    return peak.growth_apart("benchmarks.unrolls", [way.name, dataclasses.asdict(run)])


def main(told: str) -> None:
    """What `peak_growth` runs: prints bytes."""
    name, settings = json.loads(told)
    run = Run(**{**settings, "by": tuple(settings["by"])})
    BY_NAME[name].of(dataclasses.replace(run, steps=2)).call()
    print(peak.growth_of(BY_NAME[name].of(run).call))


if __name__ == "__main__":
    main(sys.argv[1])
