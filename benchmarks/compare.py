"""One method in two or three libraries on one workload."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import contenders
from benchmarks.contenders import Program
from benchmarks.limits import Limits
from benchmarks.pairs import Pair
from benchmarks.table import Row
from benchmarks.timing import Spread, in_turns, ratio
from benchmarks.workloads import Workload


@dataclasses.dataclass(frozen=True)
class Effort:
    """How often things are repeated.

    Attributes:
      steps: rounds of steps that count; of two or three sides each begins equally often if
        it is a multiple of six.
      compilations: programs that are traced and compiled on each side.
    """

    steps: int = 18
    compilations: int = 1


def compare(key: str, workload: Workload, pair: Pair, limits: Limits, effort: Effort) -> Row:
    """Compiles and times one step on every side.

    Args:
      key: the workload's, under which the pair has its target.
      workload: the parameters.
      pair: the method.
      limits: what the machine can do.
      effort: how often.

    Returns:
      Times, ratios, and what the compiler says; see `benchmarks.tables`.
    """
    programs = _programs(workload, pair, effort.compilations)
    ours, theirs = programs["gradlab"][0], programs["optax"][0]
    took = _timed(workload, pair, ours, theirs, effort.steps)
    spread = ratio(took["gradlab"], took["optax"])
    row: Row = {
        "method": pair.method,
        "key": key,
        "workload": workload.title,
        "settings": repr(pair.gradlab()),
        "gradlab": _side(took["gradlab"], programs["gradlab"], workload),
        "optax": _side(took["optax"], programs["optax"], workload),
        "ratio": dataclasses.asdict(spread),
        **verdict(spread, pair.target.get(key)),
        "copy_share": ours.argument_and_result_bytes / np.median(took["gradlab"]) / limits.copy,
    }
    if not row["met"]:
        row["why"] = pair.why
    if "torch" in took:
        row["torch"] = {"step": dataclasses.asdict(Spread.of(took["torch"]))}
        row["ratio_torch"] = dataclasses.asdict(ratio(took["gradlab"], took["torch"]))
    for name in ("trace", "compile"):
        row[f"{name}_ratio"] = row["gradlab"][name]["median"] / row["optax"][name]["median"]
    return row


def verdict(spread: Spread, target: float | None) -> dict[str, Any]:
    """The target and whether it was met.

    Without a target of its own a method has to be no slower than optax beyond the spread:
    the lower quartile of the ratio is at most one.
    """
    met = spread.low <= 1.0 if target is None else spread.median <= target
    return {"target": target, "met": bool(met)}


def _programs(workload: Workload, pair: Pair, count: int) -> dict[str, list[Program]]:
    makers = {"gradlab": pair.gradlab, "optax": pair.optax}
    for make in makers.values():  # the first trace of a process fills caches of both
        contenders.program(make(), workload.shapes[:1])
    found: dict[str, list[Program]] = {name: [] for name in makers}
    for _ in range(count):
        for name, make in makers.items():
            found[name].append(contenders.program(make(), workload.shapes))
    return found


def _timed(
    workload: Workload, pair: Pair, ours: Program, theirs: Program, repetitions: int
) -> dict[str, np.ndarray]:
    params, gradients = contenders.arrays(workload)
    calls: dict[str, Callable[[], None]] = {
        "gradlab": contenders.jax_steps(pair.gradlab(), ours, params, gradients),
        "optax": contenders.jax_steps(pair.optax(), theirs, params, gradients),
    }
    if pair.torch is not None and contenders.torch_device():
        calls["torch"] = contenders.torch_steps(pair.torch, params, gradients, pair.max_norm)
    took = in_turns(calls, repetitions)
    calls.clear()
    gc.collect()
    return took


def _side(took: np.ndarray, programs: list[Program], workload: Workload) -> dict[str, Any]:
    first = programs[0]
    return {
        "step": dataclasses.asdict(Spread.of(took)),
        "trace": dataclasses.asdict(Spread.of([p.trace_seconds for p in programs])),
        "compile": dataclasses.asdict(Spread.of([p.compile_seconds for p in programs])),
        "temporary_bytes": first.temporary_bytes,
        "state_bytes": first.state_bytes,
        "arrays_moved": first.moved_bytes / (4 * workload.parameters),
    }
