"""What low precision and flat parameters save, and what they cost."""

from __future__ import annotations

import dataclasses
import gc
import importlib.util
import math
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import gradlab as gl
from benchmarks import contenders
from benchmarks.limits import Limits
from benchmarks.table import Column, Row, Table, field, quartiles
from benchmarks.timing import Spread, in_turns, ratio
from benchmarks.workloads import Workload, workloads
from gradlab.bench import formats

RATE = 1e-3
MINDING_MEMORY = {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}
Notify = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Mode:
    """One way to keep parameters and state.

    Attributes:
      name: what the table calls it.
      make: builds the optimizer.
      dtype: of the parameters and gradients.
    """

    name: str
    make: Callable[[], optax.GradientTransformation]
    dtype: Any = jnp.float32


OPTAX = "optax.adamw, float32"
MODES = (
    Mode(OPTAX, lambda: optax.adamw(RATE)),
    Mode("optax.adamw, bfloat16", lambda: optax.adamw(RATE), jnp.bfloat16),
    Mode("adamw, float32", lambda: gl.adamw(RATE)),
    Mode("adamw, bfloat16 parameters", lambda: gl.adamw(RATE), jnp.bfloat16),
    Mode(
        "  stochastic rounding",
        lambda: gl.stochastic_rounding(gl.adamw(RATE), 0),
        jnp.bfloat16,
    ),
    Mode("  master weights", lambda: gl.master_weights(gl.adamw(RATE)), jnp.bfloat16),
    Mode("  Kahan summation", lambda: gl.kahan_summation(gl.adamw(RATE)), jnp.bfloat16),
    Mode("  weight splitting", lambda: gl.weight_splitting(gl.adamw(RATE)), jnp.bfloat16),
    Mode("adamw, bfloat16 state", lambda: gl.quantize_state(gl.adamw(RATE), "bfloat16")),
    Mode("adamw, 8-bit state", lambda: gl.quantize_state(gl.adamw(RATE))),
    Mode("adamw, 4-bit state", lambda: gl.quantize_state(gl.adamw(RATE), "int4")),
)


def memory(limits: Limits, tiny: bool, notify: Notify) -> list[Table]:
    """State in few bits, parameters of 16 bits, and flat parameters."""
    del limits
    sizes = workloads(tiny)
    return [
        _precision(sizes["leaf"], sizes["gpt2"], 3 if tiny else 15, notify),
        _flat(sizes["many"], 3 if tiny else 31, notify),
    ]


def _precision(timed: Workload, counted: Workload, repetitions: int, notify: Notify) -> Table:
    calls, rows = {}, {}
    for mode in MODES:
        notify(f"{mode.name} on {timed.title}")
        calls[mode.name] = _steps(mode, timed)
        rows[mode.name] = {
            "method": mode.name,
            "parameter_bytes": _bytes(_shapes(counted, mode.dtype)),
            "state_bytes": _bytes(jax.eval_shape(mode.make().init, _shapes(counted, mode.dtype))),
            "temporary_bytes": _temporary_bytes(mode, counted),
        }
    for name, make, state in _torch_sides():
        params, gradients = contenders.arrays(timed)
        calls[name] = contenders.torch_steps(make, params, gradients, None)
        rows[name] = {
            "method": name,
            "parameter_bytes": 4 * counted.parameters,
            "state_bytes": state(counted),
        }
    took = in_turns(calls, repetitions)
    baseline = rows[OPTAX]["state_bytes"]
    for name, row in rows.items():
        row["step"] = dataclasses.asdict(Spread.of(took[name]))
        row["ratio"] = dataclasses.asdict(ratio(took[name], took[OPTAX]))
        row["state_share"] = row["state_bytes"] / baseline
    calls.clear()
    gc.collect()
    columns = (
        field("method", "method"),
        field(f"parameters of {counted.name}", "parameter_bytes", formats.size),
        field("state", "state_bytes", formats.size),
        field("÷ optax", "state_share", "{:.3f}".format),
        field(f"step on {timed.name}", "step.median", formats.seconds),
        field("÷ optax [quartiles]", "ratio", quartiles),
        field(f"temporaries on {counted.name}", "temporary_bytes", formats.size),
    )
    notes = (
        f"Bytes of {counted.title}; one step of update and apply, donated, on {timed.title}. All "
        "sides take turns in one run. State in few bits is widened array by array, so that a step "
        "stores about as much as its largest array needs. Temporaries are those of a program whose "
        "compiler was told to mind memory; by default XLA on CPU widens all arrays at once."
    )
    return Table("State and parameters in few bits", notes, columns, list(rows.values()))


def _shapes(workload: Workload, dtype: Any) -> list[jax.ShapeDtypeStruct]:
    return [jax.ShapeDtypeStruct(shape, dtype) for shape in workload.shapes]


def _bytes(tree: Any) -> int:
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(tree))


def _lowered(mode: Mode, workload: Workload) -> Any:
    opt, shapes = mode.make(), _shapes(workload, mode.dtype)
    jitted = jax.jit(contenders.train_step(opt), donate_argnums=(0, 1))
    return jitted.lower(shapes, jax.eval_shape(opt.init, shapes), shapes)


def _temporary_bytes(mode: Mode, workload: Workload) -> int:
    """What a step stores beside its arguments and results."""
    options = MINDING_MEMORY if jax.default_backend() == "cpu" else {}
    program = _lowered(mode, workload).compile(compiler_options=options)
    return program.memory_analysis().temp_size_in_bytes


def _steps(mode: Mode, workload: Workload) -> Callable[[], None]:
    program = _lowered(mode, workload).compile()
    params, gradients = (
        [jnp.array(x, mode.dtype) for x in arrays] for arrays in contenders.arrays(workload)
    )
    carry: list[Any] = [params, jax.jit(mode.make().init)(params)]

    def once() -> None:
        carry[:] = program(*carry, gradients)
        jax.block_until_ready(carry)

    return once


def _torch_sides() -> list[tuple[str, Callable[[list], Any], Callable[[Workload], int]]]:
    """torch's AdamW and that of bitsandbytes, where they are installed."""
    if contenders.torch_device() is None:
        return []

    def fused(params: list) -> Any:
        import torch

        return torch.optim.AdamW(params, lr=RATE, weight_decay=1e-4, fused=True)

    def eight_bits(params: list) -> Any:
        import bitsandbytes

        return bitsandbytes.optim.AdamW8bit(params, lr=RATE, weight_decay=1e-4)

    def small_ones_in_float32(workload: Workload) -> int:
        sizes = [math.prod(shape) for shape in workload.shapes]
        return sum(2 * (n + 4 * -(-n // 256)) if n >= 4096 else 8 * n for n in sizes)

    found = [("torch AdamW, fused, float32", fused, lambda workload: 8 * workload.parameters)]
    if importlib.util.find_spec("bitsandbytes") is not None:
        found.append(("bitsandbytes AdamW8bit", eight_bits, small_ones_in_float32))
    return found


def loss(leaves: list) -> jax.Array:
    """A loss to which every array contributes by itself."""
    return sum((jnp.vdot(x, x) for x in leaves), jnp.float32(0))


def _flat(workload: Workload, repetitions: int, notify: Notify) -> Table:
    leaves, _ = contenders.arrays(workload)
    flat = gl.flatten_params(leaves)
    rows = []
    for work, sides in {
        "update and apply": {
            "tree": (optax.adamw(RATE), leaves, None),
            "flat": (gl.flat(gl.adamw(RATE)), flat, None),
        },
        "loss, backward, update and apply": {
            "tree": (optax.adamw(RATE), leaves, loss),
            "flat": (gl.flat(gl.adamw(RATE)), flat, lambda p: loss(p.tree())),
        },
    }.items():
        row: Row = {"method": work}
        calls = {}
        for side, (opt, params, objective) in sides.items():
            notify(f"{work}, {side}, on {workload.title}")
            calls[side], row[f"{side}_compile"] = _training(opt, params, objective)
        took = in_turns(calls, repetitions)
        row |= {side: dataclasses.asdict(Spread.of(took[side])) for side in sides}
        row["ratio"] = dataclasses.asdict(ratio(took["flat"], took["tree"]))
        row["compile_ratio"] = row["flat_compile"] / row["tree_compile"]
        rows.append(row)
    columns = (
        field("what is done", "method"),
        field("optax.adamw, trace and compile", "tree_compile", formats.seconds),
        field("flat(adamw)", "flat_compile", formats.seconds),
        field("ratio", "compile_ratio", "{:.2f}".format),
        field("optax.adamw, step", "tree.median", formats.seconds),
        field("flat(adamw)", "flat.median", formats.seconds),
        field("ratio [quartiles]", "ratio", quartiles),
        Column("target", _flat_target),
    )
    notes = (
        f"{workload.title}. Parameters and gradients are kept flat; the loss sees a tree. XLA on "
        "CPU compiles one kernel for all equal operations on arrays of their own, but one for each "
        "slice of a vector, because each begins elsewhere: what the view costs to compile is that."
    )
    return Table("Flat parameters", notes, columns, rows)


def _flat_target(row: Row) -> str:
    compiled, stepped = row["compile_ratio"] <= 0.1, row["ratio"]["median"] <= 0.3
    told = {True: "met", False: "**missed**"}
    return f"compile ≤ 0.1: {told[compiled]}; step ≤ 0.3: {told[stepped]}"


def _training(
    opt: optax.GradientTransformation, params: Any, objective: Callable[[Any], jax.Array] | None
) -> tuple[Callable[[], None], float]:
    """A step, and the seconds that tracing and compiling it took."""
    given = params if objective is None else ()

    def step(params: Any, state: Any, given: Any) -> Any:
        gradients = given if objective is None else jax.grad(objective)(params)
        updates, state = opt.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    params, given = jax.tree.map(jnp.array, (params, given))
    carry: list[Any] = [params, opt.init(params)]
    start = time.perf_counter()
    program = jax.jit(step, donate_argnums=(0, 1)).lower(*carry, given).compile()
    took = time.perf_counter() - start

    def once() -> None:
        carry[:] = program(*carry, given)
        jax.block_until_ready(carry)

    return once, float(np.float64(took))
