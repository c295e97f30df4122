"""Aggregators against torchjd: what a step with several objectives takes, in time and memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import jacobians
from benchmarks.compare import verdict
from benchmarks.jacobians import PAIRS, UPGRAD, Network, Pair
from benchmarks.limits import Limits
from benchmarks.table import Column, Row, Table, field, quartiles
from benchmarks.timing import Spread, in_turns, ratio
from gradlab.bench import formats

TARGET = 0.5
LARGEST_TARGETED = 32  # objectives; more are reported
GROWTH = 0.1  # of a gradient, for each objective; a Jacobian has 1

Notify = Callable[[str], None]


def aggregators(limits: Limits, tiny: bool, notify: Notify) -> list[Table]:
    """Stacks of gradients by the number of objectives, and Gramians without a stack."""
    del limits
    return [_stacks(tiny, notify), _gramians(tiny, notify)]


def _networks(tiny: bool) -> list[Network]:
    counts, width, batch = ((2, 8), 8, 4) if tiny else ((2, 8, 32, 128), 512, 64)
    return [Network(tasks=count, width=width, batch=batch) for count in counts]


def _target(row: Row) -> str:
    if row.get("met") is None:
        return "reported"
    return f"≤ {row['target']:g}: {'met' if row['met'] else '**missed**'}"


_TIMES = (
    field("gradlab", "gradlab.median", formats.seconds),
    field("torchjd", "torchjd.median", formats.seconds),
    field("÷ torchjd [quartiles]", "ratio", quartiles),
    Column("target", _target),
)
_MEMORY = (
    field("temporaries", "temporary_bytes", formats.size),
    field("peak growth", "gradlab_growth", formats.size),
    field("torchjd's", "torchjd_growth", formats.size),
)
_MEMORY_NOTES = (
    "*Temporaries*: what the compiled program asks for beside arguments and results, by its own "
    "analysis. *Peak growth*: by how much resident memory grows in one step, at its peak, in a "
    "process of its own with parameters, data and libraries there; measured alike on both sides."
)


def _stacks(tiny: bool, notify: Notify) -> Table:
    rows: list[Row] = []
    for network in _networks(tiny):
        rows += _rows(network, repetitions=3 if tiny else 15, tiny=tiny, notify=notify)
    columns = (
        field("method", "method"),
        field("objectives", "objectives"),
        field("parameters", "parameters", formats.count),
        *_TIMES,
        field("Jacobian's share", "share", "{:.0%}".format),
        field("theirs", "torchjd_share", "{:.0%}".format),
        *_MEMORY,
        field("Jacobian", "jacobian_bytes", formats.size),
        field("numbers", "same", lambda text: text or "the same"),
    )
    notes = (
        "Losses, their Jacobian, its aggregate and a step of gradient descent on a network of two "
        "hidden layers, one output for each objective. torchjd takes its faster way, with "
        "Jacobians joined or not. *Jacobian's share*: the time of the Jacobian alone over that "
        f"of the step. Compiling is left out. {_MEMORY_NOTES}"
    )
    return Table("Aggregators on stacks of gradients", notes, columns, rows)


def _rows(network: Network, repetitions: int, tiny: bool, notify: Notify) -> list[Row]:
    """All aggregators of one network, timed together."""
    calls: dict[str, Callable[[], Any]] = {}
    analyses = {}
    theirs = jacobians.has_torchjd()
    chosen: list[Pair | None] = [None, *PAIRS]
    for pair in chosen:
        name = pair.method if pair else "jacobian"
        calls[f"gradlab {name}"], analyses[name], _ = jacobians.gradlab_step(network, pair, False)
        if theirs:
            calls[f"torchjd {name}"] = jacobians.torchjd_step(network, pair, False)[0]
            if pair and pair.gramian:
                apart = jacobians.torchjd_step(network, pair, False, joined=False)[0]
                calls[f"torchjd {name}, apart"] = apart
    notify(f"{len(PAIRS)} aggregators of {network.tasks} gradients")
    took = in_turns(calls, repetitions)
    rows = []
    for pair in PAIRS:
        row = {"method": pair.method, "same": pair.same, "key": f"{network.tasks} objectives"}
        row |= {"objectives": network.tasks, "parameters": network.parameters}
        row |= _timed(pair, took, network.tasks <= LARGEST_TARGETED)
        if "why" in row:
            row["why"] = f"with {row['key']}. {row['why']}"
        row["jacobian_bytes"] = 4 * network.tasks * network.parameters
        row["temporary_bytes"] = analyses[pair.method].temp_size_in_bytes
        if not tiny or pair is UPGRAD:
            notify(f"memory of {pair.method}")
            row |= _growth(network, pair, per_example=False)
        rows.append(row)
    return rows


def _timed(pair: Pair, took: dict[str, np.ndarray], targeted: bool) -> Row:
    name = pair.method
    ours = took[f"gradlab {name}"]
    share = float(np.median(took["gradlab jacobian"]) / np.median(ours))
    row: Row = {"gradlab": dataclasses.asdict(Spread.of(ours)), "share": share}
    ways = [took[key] for key in (f"torchjd {name}", f"torchjd {name}, apart") if key in took]
    if not ways:
        return row
    theirs = min(ways, key=lambda durations: float(np.median(durations)))
    spread = ratio(ours, theirs)
    row["torchjd"] = dataclasses.asdict(Spread.of(theirs))
    row["ratio"] = dataclasses.asdict(spread)
    row["torchjd_share"] = float(np.median(took["torchjd jacobian"]) / np.median(theirs))
    if targeted:
        row |= verdict(spread, TARGET)
        if not row["met"]:
            alone = ratio(took["gradlab jacobian"], took["torchjd jacobian"])
            row["why"] = (
                f"Of our step {share:.0%} is the Jacobian, a chain of matrix products that takes "
                f"{alone.median:.2f} of torchjd's time; what is left takes "
                f"{_rest(ours, took['gradlab jacobian'])} here and "
                f"{_rest(theirs, took['torchjd jacobian'])} there. {pair.why}"
            ).strip()
    return row


def _rest(step: np.ndarray, jacobian: np.ndarray) -> str:
    return formats.seconds(max(0.0, float(np.median(step) - np.median(jacobian))))


def _growth(network: Network, pair: Pair, per_example: bool) -> Row:
    sides = jacobians.SIDES if jacobians.has_torchjd() else ("gradlab",)
    return {
        f"{side}_growth": jacobians.peak_growth(side, network, pair, per_example) for side in sides
    }


def _gramians(tiny: bool, notify: Notify) -> Table:
    widths, batches = ((8, 16), (40, 64)) if tiny else ((256, 1024), (128, 256))
    sizes = [Network(10, width, batch) for width in widths for batch in batches]
    rows = [_gramian_row(network, tiny, notify) for network in sizes]
    growth = interaction([_memory_row(network) for network in sizes])
    rows[-1] |= {"growth": growth, "target": GROWTH, "met": bool(growth <= GROWTH)}
    if not rows[-1]["met"]:
        rows[-1]["why"] = (
            "Chunks of gradients were as large as these batches, or XLA stored activations that "
            "are as large as parameters."
        )
    columns = (
        field("method", "method"),
        field("objectives", "objectives"),
        field("parameters", "parameters", formats.count),
        *_TIMES[:3],
        *_MEMORY,
        field("Jacobian", "jacobian_bytes", formats.size),
        field("gradients kept for each objective", "growth", "{:.3f}".format),
        Column("target", _target),
    )
    notes = (
        "Each example of the batch is an objective. Weights come from the Gramian, whose blocks "
        "are made of chunks of 32 gradients (here) or layer by layer (torchjd's engine); neither "
        "holds the Jacobian. *Gradients kept for each objective*: the share of temporaries that "
        "grows with the product of parameters and objectives, from the four sizes with MGDA, whose "
        "own part is small, in units of a gradient; with a Jacobian it would be one. Our programs "
        "of UPGrad with m objectives take memory of the order of m³ and time of the order of m⁴, "
        f"whatever the parameters are. {_MEMORY_NOTES}"
    )
    return Table("A gradient for each example, without a Jacobian", notes, columns, rows)


def _memory_row(network: Network) -> Row:
    """Memory with MGDA, whose own part is the least of those that use the Gramian."""
    memory = jacobians.gradlab_step(network, jacobians.BY_NAME["mgda"], True)[1]
    row: Row = {"parameters": network.parameters, "objectives": network.batch}
    return row | {"temporary_bytes": memory.temp_size_in_bytes}


def interaction(rows: list[Row]) -> float:
    """What memory has of the product of parameters and objectives [gradients / objective].

    Args:
      rows: of two numbers of parameters, and for each of them of two numbers of objectives.
    """
    small, small_more, large, large_more = rows
    more = large_more["temporary_bytes"] - large["temporary_bytes"]
    more -= small_more["temporary_bytes"] - small["temporary_bytes"]
    parameters = large["parameters"] - small["parameters"]
    return more / (4 * parameters * (large_more["objectives"] - large["objectives"]))


def _gramian_row(network: Network, tiny: bool, notify: Notify) -> Row:
    notify(f"Gramian of {network.batch} examples, {network.parameters:,} parameters")
    step, analysis, _ = jacobians.gradlab_step(network, UPGRAD, True)
    calls = {"gradlab": step}
    if jacobians.has_torchjd():
        calls["torchjd"] = jacobians.torchjd_step(network, UPGRAD, True)[0]
    took = in_turns(calls, 3 if tiny else 9)
    row: Row = {"method": UPGRAD.method, "key": f"{network.batch} examples"}
    row |= {"objectives": network.batch, "parameters": network.parameters}
    row |= {name: dataclasses.asdict(Spread.of(values)) for name, values in took.items()}
    if "torchjd" in took:
        row["ratio"] = dataclasses.asdict(ratio(took["gradlab"], took["torchjd"]))
    row["jacobian_bytes"] = 4 * network.batch * network.parameters
    row["temporary_bytes"] = analysis.temp_size_in_bytes
    return row | _growth(network, UPGRAD, per_example=True)
