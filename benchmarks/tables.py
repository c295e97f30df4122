"""The tables: each measures, and says how to read what it found."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np

from benchmarks import contenders, pairs
from benchmarks.aggregators import aggregators
from benchmarks.compare import Effort, compare
from benchmarks.hypergradients import hypergradients
from benchmarks.limits import Limits
from benchmarks.memory import memory
from benchmarks.one_pass import one_pass
from benchmarks.table import Column, Row, Table, field, quartiles
from benchmarks.temporaries import temporaries
from benchmarks.timing import Spread
from benchmarks.workloads import Workload, workloads
from gradlab.bench import formats

Notify = Callable[[str], None]


def _target(row: Row) -> str:
    aim = "≤ 1, within the spread" if row["target"] is None else f"≤ {row['target']:g}"
    return f"{aim}: {'met' if row['met'] else '**missed**'}"


_STEP_COLUMNS = (
    field("method", "method"),
    field("gradlab", "gradlab.step.median", formats.seconds),
    field("optax", "optax.step.median", formats.seconds),
    field("÷ optax [quartiles]", "ratio", quartiles),
    Column("target", _target),
    field("torch", "torch.step.median", formats.seconds),
    field("÷ torch", "ratio_torch", quartiles),
    field("of copy rate", "copy_share", "{:.0%}".format),
    field("temporaries", "gradlab.temporary_bytes", formats.size),
    field("optax's", "optax.temporary_bytes", formats.size),
    field("arrays moved", "gradlab.arrays_moved", "{:.1f}".format),
    field("optax's", "optax.arrays_moved", "{:.1f}".format),
    field("state", "gradlab.state_bytes", formats.size),
    field("trace", "gradlab.trace.median", formats.seconds),
    field("÷ optax", "trace_ratio", "{:.2f}".format),
    field("compile", "gradlab.compile.median", formats.seconds),
    field("÷ optax", "compile_ratio", "{:.2f}".format),
)
_STEP_NOTES = (
    "One step of update and apply, parameters and state donated. *Of copy rate*: bytes that cannot "
    "but move (gradients, parameters and state read, parameters and state written) per second of "
    "our step, over the rate of copying in place. *Arrays moved*: what the kernels of the compiled "
    "step read and write, in units of the parameters. Torch uses its fused kernels where it has "
    "them."
)


def steps(limits: Limits, tiny: bool, notify: Notify) -> list[Table]:
    """Elementwise rules on one large array and on GPT-2."""
    found = []
    for key in ("leaf", "gpt2"):
        workload = workloads(tiny)[key]
        rows = []
        for pair in pairs.STEPS:
            notify(f"{pair.method} on {workload.title}")
            rows.append(compare(key, workload, pair, limits, Effort(steps=3 if tiny else 18)))
        title = f"One step: {workload.title}"
        found.append(Table(title, _STEP_NOTES, _STEP_COLUMNS, rows))
    return found


_COMPILE_COLUMNS = (
    field("workload", "workload"),
    field("method", "method"),
    field("trace", "gradlab.trace.median", formats.seconds),
    field("optax's", "optax.trace.median", formats.seconds),
    field("ratio", "trace_ratio", "{:.2f}".format),
    field("compile", "gradlab.compile.median", formats.seconds),
    field("optax's", "optax.compile.median", formats.seconds),
    field("ratio", "compile_ratio", "{:.2f}".format),
    field("step", "gradlab.step.median", formats.seconds),
    field("optax's", "optax.step.median", formats.seconds),
    field("ratio [quartiles]", "ratio", quartiles),
    Column("target", _target),
    field("torch's step", "torch.step.median", formats.seconds),
    field("temporaries", "gradlab.temporary_bytes", formats.size),
    field("optax's", "optax.temporary_bytes", formats.size),
)


def many(limits: Limits, tiny: bool, notify: Notify) -> list[Table]:
    """Many arrays: what tracing, compiling and stepping them costs."""
    sizes, rows = workloads(tiny), []
    effort = Effort(steps=3 if tiny else 30, compilations=1 if tiny else 3)
    chosen = [("many", pair) for pair in pairs.MANY] + [("small matrices", pairs.MUON)]
    for key, pair in chosen:
        notify(f"{pair.method} on {sizes[key].title}")
        row = compare(key, sizes[key], pair, limits, effort)
        if key == "small matrices":
            row["met"] = bool(row["met"] and row["compile_ratio"] <= row["target"])
        rows.append(row)
    notes = (
        "A step of many arrays is traced and compiled array by array; matrices of one shape are "
        "stacked. Medians of three compilations, in turns. The target of muon holds for compiling "
        "and for stepping."
    )
    return [Table("Many arrays", notes, _COMPILE_COLUMNS, rows)]


def matrices(limits: Limits, tiny: bool, notify: Notify) -> list[Table]:
    """Muon on matrices that fill the machine."""
    workload = workloads(tiny)["large matrices"]
    notify(f"muon on {workload.title}")
    row = compare("large matrices", workload, pairs.MUON, limits, Effort(steps=3 if tiny else 9))
    work = newton_schulz_operations(workload)
    for name in ("gradlab", "optax", "torch"):
        if name in row:
            row[name]["rate"] = work / row[name]["step"]["median"]
    row["matmul_share"] = row["gradlab"]["rate"] / limits.matmul

    def flops(value: float) -> str:
        return f"{value / 1e9:.0f} GFLOP/s"

    columns = (
        *_COMPILE_COLUMNS,
        field("rate", "gradlab.rate", flops),
        field("optax's", "optax.rate", flops),
        field("torch's", "torch.rate", flops),
        field("of matrix rate", "matmul_share", "{:.0%}".format),
    )
    notes = (
        "Five iterations of Newton–Schulz in float32; torch's Muon computes in bfloat16, which is "
        "another numerics. *Rate*: the products of the iteration alone, over the time of the whole "
        "step. *Of matrix rate*: over that of a large float32 product."
    )
    return [Table("Muon on large matrices", notes, columns, [row])]


def newton_schulz_operations(workload: Workload, iterations: int = 5) -> float:
    """Floating-point operations of the products: X Xᵀ, its square, and both times X."""
    total = 0
    for shape in workload.shapes:
        low, high = sorted(shape)
        total += iterations * (4 * low**2 * high + 2 * low**3)
    return float(total)


def startup(limits: Limits, tiny: bool, notify: Notify) -> list[Table]:
    """Import time, each in a process of its own."""
    del limits
    notify("imports")
    code = {
        "jax": "import jax",
        "optax": "import optax",
        "gradlab": "import gradlab",
        "torch": "import torch",
    }
    if contenders.torch_device() is None:
        code.pop("torch")
    repetitions = 1 if tiny else 7
    rounds: dict[str, list[float]] = {name: [] for name in code}
    for _ in range(repetitions):
        for name, line in code.items():
            rounds[name].append(_import_seconds(line))
    rows = []
    for name, values in rounds.items():
        spread = Spread.of(values)
        rows.append(
            {"module": name, "seconds": spread.median, "low": spread.low, "high": spread.high}
        )
    baseline = {row["module"]: row["seconds"] for row in rows}
    for row in rows:
        row["beyond_jax"] = row["seconds"] - baseline["jax"]
    columns = (
        field("import", "module"),
        field("median", "seconds", formats.seconds),
        field("lower quartile", "low", formats.seconds),
        field("upper quartile", "high", formats.seconds),
        field("beyond jax", "beyond_jax", formats.seconds),
    )
    notes = "Importing in a fresh process, files cached. gradlab imports optax, and optax jax."
    return [Table("Import", notes, columns, rows)]


def _import_seconds(line: str) -> float:
    program = (
        f"import time; start = time.perf_counter(); {line}; print(time.perf_counter() - start)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=300
    )
    return float(np.float64(done.stdout.strip()))


TABLES: dict[str, Callable[[Limits, bool, Notify], list[Table]]] = {
    "steps": steps,
    "many": many,
    "matrices": matrices,
    "startup": startup,
    "temporaries": temporaries,
    "one-pass": one_pass,
    "memory": memory,
    "aggregators": aggregators,
    "hypergradients": hypergradients,
}
"""Each table of the command line, and the function that makes it."""
