"""A step of one library on one workload: built, described by its compiler, ready to run."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.workloads import Workload


@dataclasses.dataclass(frozen=True)
class Program:
    """What tracing and compiling a step took, and what the compiled program needs.

    Attributes:
      trace_seconds: from Python to the compiler's input.
      compile_seconds: from there to a program.
      temporary_bytes: memory beside arguments and results.
      state_bytes: the optimizer's state.
      argument_and_result_bytes: what cannot but be read and written once.
      moved_bytes: what the program's kernels read and write, cached or not.
      call: the program.
    """

    trace_seconds: float
    compile_seconds: float
    temporary_bytes: int
    state_bytes: int
    argument_and_result_bytes: int
    moved_bytes: float
    call: Callable[..., Any] = dataclasses.field(repr=False)


def tree_bytes(tree: Any) -> int:
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


def train_step(opt: optax.GradientTransformation) -> Callable[..., Any]:
    """A function of its own for each call, so that no cache answers for the compiler."""

    def step(params: Any, state: Any, gradients: Any) -> Any:
        updates, state = opt.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    return step


def program(opt: optax.GradientTransformation, shapes: Any) -> Program:
    """Traces and compiles a donated step.

    Args:
      opt: the transformation.
      shapes: the shape of each parameter; all are float32.
    """
    params = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    state = jax.eval_shape(opt.init, params)
    jitted = jax.jit(train_step(opt), donate_argnums=(0, 1))
    start = time.perf_counter()
    lowered = jitted.lower(params, state, params)
    traced = time.perf_counter()
    compiled = lowered.compile()
    done = time.perf_counter()
    memory = compiled.memory_analysis()
    return Program(
        traced - start,
        done - traced,
        memory.temp_size_in_bytes,
        tree_bytes(state),
        2 * (tree_bytes(params) + tree_bytes(state)) + tree_bytes(params),
        compiled.cost_analysis()["bytes accessed"],
        compiled,
    )


def jax_steps(
    opt: optax.GradientTransformation, compiled: Program, params: list, gradients: list
) -> Callable[[], None]:
    """One step after the other, each waited for; all arrays are this function's own."""
    params, gradients = ([jnp.array(x) for x in arrays] for arrays in (params, gradients))
    carry: list[Any] = [params, opt.init(params)]

    def once() -> None:
        carry[:] = compiled.call(*carry, gradients)
        jax.block_until_ready(carry)

    return once


def torch_device() -> str | None:
    """Where torch works beside JAX: on the same kind of device, or not at all (None)."""
    if importlib.util.find_spec("torch") is None:
        return None
    if jax.default_backend() == "cpu":
        return "cpu"
    import torch

    return "cuda" if jax.default_backend() == "gpu" and torch.cuda.is_available() else None


def torch_steps(
    make: Callable[[list], Any], params: list[np.ndarray], gradients: list, max_norm: float | None
) -> Callable[[], None]:
    """The same for an optimizer of torch.

    Args:
      make: builds the optimizer from a list of parameters.
      params: initial values.
      gradients: the gradients of every step.
      max_norm: the norm to which they are clipped first, in place; None does not.
    """
    import torch

    device = torch_device()

    def copied(x: Any) -> torch.Tensor:  # torch must not write into memory that JAX reads
        return torch.from_numpy(np.array(x)).to(device)

    leaves = [torch.nn.Parameter(copied(x)) for x in params]
    for leaf, gradient in zip(leaves, gradients, strict=True):
        leaf.grad = copied(gradient)
    optimizer = make(leaves)

    def once() -> None:
        if max_norm is not None:
            torch.nn.utils.clip_grad_norm_(leaves, max_norm)
        optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()

    return once


@functools.lru_cache(maxsize=1)
def arrays(workload: Workload) -> tuple[list, list]:
    """Parameters and gradients of a workload, as JAX arrays."""
    params = [jnp.asarray(x) for x in workload.arrays(seed=0)]
    return params, [jnp.asarray(x) for x in workload.arrays(seed=1)]
