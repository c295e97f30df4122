"""Hypergradients through Adam: time and memory in gradlab's modes, optax's scan and TorchOpt."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import unrolls
from benchmarks.limits import Limits
from benchmarks.table import Column, Row, Table, field, quartiles
from benchmarks.timing import Spread, in_turns, ratio
from benchmarks.unrolls import ALL, PLAIN, RATE, SEGMENTS, Run, Side, Way
from gradlab.bench import formats

LEAST_STEPS = 1000
"""Steps from which the memory of segments has a target; the ratio falls with the root of steps."""

MEMORY, TIME, TORCHOPT = 0.1, 1.6, 0.1
"""Targets: of the plain mode's memory and time, and of TorchOpt's time."""

ASKED = {RATE: "learning rate", ALL: "all five"}
ROUNDS = 6
"""One for each way of a table to begin with."""

Notify = Callable[[str], None]


def hypergradients(limits: Limits, tiny: bool, notify: Notify) -> list[Table]:
    """By Adam's learning rate, and by all that Adam has, through few and through many steps."""
    del limits
    sizes = [Run(4, width=8, batch=4, hurry=True)] if tiny else [Run(200), Run(1000)]
    tables = [_through(run, 2 if tiny else ROUNDS, notify) for run in sizes]
    return [*tables, _at_zero(sizes[0], notify)]


def _target(row: Row) -> str:
    """Every target that the row has, and whether it was met."""
    said = [f"{t['what']} ≤ {t['target']:g}: {_met(t)}" for t in row.get("targets", ())]
    return "; ".join(said)


def _met(target: dict[str, Any]) -> str:
    return "met" if target["met"] else "**missed**"


def _through(run: Run, repetitions: int, notify: Notify) -> Table:
    rows: list[Row] = []
    for by, asked in ASKED.items():
        rows += _rows(dataclasses.replace(run, by=by), asked, repetitions, notify)
    columns = (
        field("way", "method"),
        field("derivative by", "asked"),
        field("time", "time.median", formats.seconds),
        field("÷ plain [quartiles]", "ratio", quartiles),
        field("÷ TorchOpt", "ratio_torchopt", quartiles),
        field("temporaries", "temporary_bytes", formats.size),
        field("÷ plain", "memory_ratio", "{:.3f}".format),
        field("peak growth", "growth", formats.size),
        field("compile", "compile_seconds", formats.seconds),
        field("differs from plain by", "difference", _order),
        Column("target", _target),
    )
    notes = (
        f"The derivative of the held-out loss after {run.steps:,} steps of Adam on batches of "
        f"{run.batch} digits, by the learning rate alone and by everything that Adam has "
        "(learning_rate, b1, b2, eps, eps_root); the network has "
        f"{run.problem.parameters:,} parameters. All in float32, in turns, warm, compiling apart. "
        "*Temporaries*: what the compiled program asks for beside arguments and results, by its "
        "own analysis (`memory_analysis`). *Peak growth*: by how much resident memory grows at its "
        "peak, in a process of its own, with data and libraries there and the program compiled; "
        "measured alike for all. *÷ TorchOpt*: of its faster way, in one thread or in all, "
        "whichever was faster. TorchOpt cannot differentiate by b1 and b2 (a TypeError: its moving "
        "averages take numbers), so that its time stands for the other three; its fused operator "
        f"(which runs {unrolls.fused_operator()} here) takes plain numbers for all but the "
        "learning rate. *Differs*: the largest relative "
        "difference of a derivative from the plain mode's."
    )
    return Table(f"A hypergradient through {run.steps:,} steps", notes, columns, rows)


def _order(value: float) -> str:
    return "0" if value == 0 else f"1e{math.ceil(math.log10(value)):d}"


def _rows(run: Run, asked: str, repetitions: int, notify: Notify) -> list[Row]:
    """Every way to one hypergradient, timed together."""
    sides: dict[Way, Side] = {}
    for way in unrolls.ways(run):
        notify(f"{way.name}: {run.steps:,} steps, derivative by {asked}")
        sides[way] = way.of(run)
    found = {way: side.call() for way, side in sides.items()}
    calls = {way.name: side.call for way, side in sides.items()}
    took = in_turns(calls, repetitions, warm_up=1)
    theirs = fastest({w.name: took[w.name] for w in sides if w.library == "torchopt"})
    rows = []
    for way, side in sides.items():
        row: Row = {"method": way.name, "library": way.library, "key": f"{run.steps} steps"}
        row |= {"asked": asked if way.able(run) == run.by else ", ".join(way.able(run))}
        row |= {"steps": run.steps, "hypergradient": found[way], "threads": side.threads}
        row |= times(took[way.name], took[PLAIN.name], theirs)
        row |= memory(side.temporary_bytes, sides[PLAIN].temporary_bytes)
        row |= {"compile_seconds": side.compile_seconds}
        row |= {"difference": difference(found[way], found[PLAIN])}
        notify(f"memory of {way.name}")
        row |= {"growth": unrolls.peak_growth(way, run)}
        rows.append(judged(row))
    return rows


def fastest(took: dict[str, np.ndarray]) -> np.ndarray | None:
    """The durations with the least median; None of nothing."""
    return min(took.values(), key=lambda x: float(np.median(x)), default=None)


def times(took: np.ndarray, plain: np.ndarray, torchopt: np.ndarray | None) -> Row:
    """A duration, and its ratios round by round."""
    row: Row = {"time": dataclasses.asdict(Spread.of(took))}
    row["ratio"] = dataclasses.asdict(ratio(took, plain))
    if torchopt is not None:
        row["ratio_torchopt"] = dataclasses.asdict(ratio(took, torchopt))
    return row


def memory(own: int | None, plain: int | None) -> Row:
    """What the compilers say, where there was one."""
    if own is None or not plain:
        return {}
    return {"temporary_bytes": own, "memory_ratio": own / plain}


def difference(found: dict[str, float], plain: dict[str, float]) -> float:
    """The largest relative difference between derivatives that both have."""
    return max(abs(x - plain[name]) / abs(plain[name]) for name, x in found.items())


def judged(row: Row) -> Row:
    """The row with its targets, and with what there is to say of those that were missed."""
    targets = []

    def aim(what: str, value: float, target: float) -> None:
        met = bool(value <= target)
        targets.append({"what": what, "value": value, "target": target, "met": met})

    if row["method"] == SEGMENTS.name and row["steps"] >= LEAST_STEPS:
        aim("memory", row["memory_ratio"], MEMORY)
        aim("time", row["ratio"]["median"], TIME)
    if row["library"] == "gradlab" and "ratio_torchopt" in row:
        aim("of TorchOpt's time", row["ratio_torchopt"]["median"], TORCHOPT)
    missed = [f"{t['what']} is {t['value']:.3g}" for t in targets if not t["met"]]
    row = row | {"targets": targets}
    if missed:
        told = f"by {row['asked']}, {row['key']}: {' and '.join(missed)}."
        row["why"] = f"{told} Its own time is {formats.seconds(row['time']['median'])}."
    return row


def _at_zero(run: Run, notify: Notify) -> Table:
    """What becomes of the derivatives with Adam's own eps_root, which is zero."""
    run = dataclasses.replace(run, by=RATE, eps_root=0.0)
    rows: list[Row] = []
    for way in unrolls.ways(run):
        notify(f"{way.name} with eps_root = 0")
        value = way.of(run).call()["learning_rate"]
        told = f"{value:.6g}" if math.isfinite(value) else "not a number"
        rows.append({"method": way.name, "library": way.library, "value": told})
    notes = (
        f"The same through {run.steps:,} steps by the learning rate, with eps_root = 0, as Adam "
        "is. Some pixels are dark in every image, and the gradients of their weights are exactly "
        "zero, where the root in Adam has no derivative. This is why the tables above have "
        f"eps_root = {Run(1).eps_root:g}."
    )
    columns = (field("way", "method"), field("derivative by the learning rate", "value"))
    return Table("Where gradients are exactly zero", notes, columns, rows)
