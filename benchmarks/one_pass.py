"""AdamW in one pass over memory: what was tried on CPU, and what XLA makes of it.

AdamW reads four arrays and writes three. XLA on CPU compiles a kernel for each array that is
written, and so reads seven; torch's fused kernel reads four. Three ways to one pass are timed
beside the plain step: blocks that stay in cache, in a loop; arrays one after the other, so that
the later kernels of an array find it in cache; and XLA's own fusion of several outputs, which is
off by default and cannot be asked for by a library.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks import contenders, pairs
from benchmarks.limits import Limits
from benchmarks.table import Row, Table, field, quartiles
from benchmarks.timing import Spread, in_turns, ratio
from benchmarks.workloads import Workload, workloads
from gradlab import core
from gradlab.bench import formats

BLOCK = 2**15  # elements: four arrays of 128 KiB
FLAG = "--xla_backend_extra_options=xla_cpu_use_multi_output_fusion=true"
ADAMW = pairs.STEPS[0]

Arrays = tuple[jax.Array, jax.Array, jax.Array]


def adamw(arrays: Arrays, g: jax.Array, count: jax.Array) -> Arrays:
    """Parameters and moments after a step, with optax's default hyperparameters."""
    p, m, v = arrays
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * g * g
    m_hat, v_hat = m / (1 - 0.9**count), v / (1 - 0.999**count)
    return p - 1e-3 * (m_hat / (jnp.sqrt(v_hat) + 1e-8) + 1e-4 * p), m, v


def plain(all_arrays: list[Arrays], gradients: list, count: jax.Array) -> list[Arrays]:
    """As a library writes it."""
    return [adamw(arrays, g, count) for arrays, g in zip(all_arrays, gradients, strict=True)]


def one_after_the_other(
    all_arrays: list[Arrays], gradients: list, count: jax.Array
) -> list[Arrays]:
    """The kernels of an array run only when those of the one before are done."""
    done: list[Arrays] = []
    for arrays, g in zip(all_arrays, gradients, strict=True):
        g = core.written_after(g, done[-1][0]) if done else g
        done.append(adamw(arrays, g, count))
    return done


def in_blocks(all_arrays: list[Arrays], gradients: list, count: jax.Array) -> list[Arrays]:
    """A loop over blocks of each array, which are updated in place."""
    return [_blocks(arrays, g, count) for arrays, g in zip(all_arrays, gradients, strict=True)]


def _blocks(arrays: Arrays, g: jax.Array, count: jax.Array) -> Arrays:
    shape, blocks = g.shape, g.size // BLOCK
    if blocks < 2:
        return adamw(arrays, g, count)
    flat = (*(x.reshape(-1) for x in arrays), g.reshape(-1))

    def block(start: Any, size: int, arrays: Arrays) -> Arrays:
        old = [lax.dynamic_slice(x, (start,), (size,)) for x in (*arrays, flat[3])]
        p, *moments = adamw((old[0], old[1], old[2]), old[3], count)
        params = lax.dynamic_update_slice(arrays[0], p, (start,))
        # Else the moments are written first and XLA copies whole arrays in each round.
        written = lax.dynamic_slice(params, (start,), (1,))
        m, v = (
            lax.dynamic_update_slice(x, core.written_after(new, written), (start,))
            for x, new in zip(arrays[1:], moments, strict=True)
        )
        return params, m, v

    done = lax.fori_loop(0, blocks, lambda i, x: block(i * BLOCK, BLOCK, x), flat[:3])
    rest = g.size - blocks * BLOCK
    p, m, v = block(blocks * BLOCK, rest, done) if rest else done
    return p.reshape(shape), m.reshape(shape), v.reshape(shape)


def _ready(function: Callable[..., Any], params: list, gradients: list) -> Callable[[], None]:
    """The variant as a call that makes one step and waits for it."""
    start = [(jnp.array(p), jnp.zeros_like(p), jnp.zeros_like(p)) for p in params]
    gradients = [jnp.array(g) for g in gradients]
    count = jnp.float32(10)
    program = jax.jit(function, donate_argnums=0).lower(start, gradients, count).compile()
    carry: list[Any] = [start]

    def once() -> None:
        carry[0] = program(carry[0], gradients, count)
        jax.block_until_ready(carry)

    return once


def one_pass(limits: Limits, tiny: bool, notify: Callable[[str], None]) -> list[Table]:
    """AdamW in one pass, against torch's fused kernel; on CPU alone, no other device needs it."""
    del limits
    if jax.default_backend() != "cpu":
        return []
    rows: list[Row] = []
    for key in ("leaf", "gpt2"):
        notify(f"adamw in one pass on {workloads(tiny)[key].title}")
        rows += _variants(workloads(tiny)[key], repetitions=3 if tiny else 9)
        rows += _with_flag(key, tiny)
    columns = (
        field("workload", "workload"),
        field("step", "variant"),
        field("median", "seconds", formats.seconds),
        field("÷ plain [quartiles]", "ratio", quartiles),
        field("÷ torch [quartiles]", "ratio_torch", quartiles),
    )
    notes = (
        "AdamW written out in JAX, against itself and torch's fused kernel. *In blocks*: a loop "
        f"over {BLOCK:,} elements at a time, in place; XLA runs it on one core. *One after the "
        "other*: each array's kernels wait for those of the array before. *XLA's fusion*: the same "
        f"plain step and torch in a process with `XLA_FLAGS={FLAG}`, which joins the two moments "
        "into one kernel and leaves the parameters in another."
    )
    return [Table("AdamW in one pass", notes, columns, rows)]


def _calls(workload: Workload, variants: dict[str, Callable[..., Any]]) -> dict[str, Any]:
    params, gradients = contenders.arrays(workload)
    calls = {name: _ready(variant, params, gradients) for name, variant in variants.items()}
    if ADAMW.torch is not None and contenders.torch_device():
        calls["torch, fused"] = contenders.torch_steps(ADAMW.torch, params, gradients, None)
    return calls


def _variants(workload: Workload, repetitions: int) -> list[Row]:
    variants: dict[str, Callable[..., Any]] = {"plain": plain, "in blocks": in_blocks}
    if len(workload.shapes) > 1:
        variants["one after the other"] = one_after_the_other
    return _rows(workload, in_turns(_calls(workload, variants), repetitions))


def _rows(workload: Workload, took: dict[str, np.ndarray]) -> list[Row]:
    rows = []
    for name, durations in took.items():
        row: Row = {"workload": workload.title, "variant": name}
        row["seconds"] = Spread.of(durations).median
        if "plain" in took:
            row["ratio"] = dataclasses.asdict(ratio(durations, took["plain"]))
        if "torch, fused" in took:
            row["ratio_torch"] = dataclasses.asdict(ratio(durations, took["torch, fused"]))
        rows.append(row)
    return rows


def _with_flag(key: str, tiny: bool) -> list[Row]:
    """The plain step with XLA's fusion of several outputs: a flag of the whole process."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} {FLAG}".strip()
    command = [sys.executable, "-m", "benchmarks.one_pass", key, "tiny" if tiny else "full"]
    environment = {**os.environ, "XLA_FLAGS": flags}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, timeout=600
    )
    return json.loads(done.stdout)


def main(key: str, size: str) -> None:
    """What `_with_flag` runs: prints its rows as JSON."""
    tiny = size == "tiny"
    workload = workloads(tiny)[key]
    name = "plain, XLA's fusion"
    took = in_turns(_calls(workload, {name: plain}), 3 if tiny else 9)
    print(json.dumps([row for row in _rows(workload, took) if row["variant"] == name]))


if __name__ == "__main__":
    main(*sys.argv[1:])
