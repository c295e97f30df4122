"""Where tables are kept, and what of them the README quotes."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import textwrap
from pathlib import Path
from typing import Any

import jax

from benchmarks.limits import Limits
from benchmarks.table import Table, quartiles
from gradlab.bench.environment import cores, environment, load_average, now

RESULTS = Path(__file__).parent / "results"
README = Path(__file__).parents[1] / "README.md"
QUOTED = RESULTS / "cpu-2-cores"
QUOTED_TABLES = ("steps", "many", "matrices")
METHODS = ("adamw", "sgd, momentum", "clip_by_global_norm, adamw", "lion", "adopt", "adabelief")
BEGIN, END = "<!-- speed: begin -->", "<!-- speed: end -->"
_SHOWN = ("cpu", "cores", "device", "python", "jax", "jaxlib", "optax", "numpy", "git_revision")
_PEERS = ("torch", "torchjd", "torchopt")


def folder_of_this_machine(tiny: bool = False) -> Path:
    """One folder for each kind of machine: `cpu-2-cores`, or the name of the accelerator."""
    device = jax.devices()[0]
    kind = device.device_kind.lower().replace(" ", "-")
    name = f"cpu-{cores()}-cores" if device.platform == "cpu" else f"{device.platform}-{kind}"
    return RESULTS / (f"tiny-{name}" if tiny else name)


def write(folder: Path, name: str, tables: list[Table], limits: Limits) -> Path:
    """Writes what one entry of the command line measured, as `name.json` and `name.md`.

    Each file names the run that it comes from: ratios to the machine's limits and to other
    libraries hold within one run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    about = environment() | {"time": now(), "load_average": load_average()}
    about |= {package: _version(package) for package in _PEERS}
    data = {
        "environment": about,
        "limits": dataclasses.asdict(limits),
        "tables": [table.data() for table in tables],
    }
    (folder / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    text = "\n\n".join([_head(name, about, limits), *(table.markdown() for table in tables)])
    path = folder / f"{name}.md"
    path.write_text(text + "\n", encoding="utf-8")
    return path


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _head(name: str, about: dict[str, Any], limits: Limits) -> str:
    machine = ", ".join(f"{key} {about[key]}" for key in (*_SHOWN, *_PEERS) if about.get(key))
    return "\n".join(
        [
            f"# Implementations compared: {name}",
            "",
            f"`python -m benchmarks {name}`, {about['time']}. {machine}.",
            "",
            f"Limits in this run: copying {limits.copy / 1e9:.1f} GB/s, reading "
            f"{limits.read / 1e9:.1f} GB/s, float32 matrix product "
            f"{limits.matmul / 1e9:.0f} GFLOP/s. Durations are medians.",
        ]
    )


def can_be_quoted(folder: Path = QUOTED) -> bool:
    """Whether every table that the README quotes has been measured."""
    return all((folder / f"{name}.json").exists() for name in QUOTED_TABLES)


def quoted(folder: Path = QUOTED) -> str:
    """What the README says of stored runs: ratios of durations, with quartiles."""
    runs = [json.loads((folder / f"{name}.json").read_text()) for name in QUOTED_TABLES]
    all_rows = [row for run in runs for table in run["tables"] for row in table["rows"]]
    rows = {(row["method"], row["key"]): row for row in all_rows}
    about = runs[0]["environment"]
    lines = ["| step of one method | parameters | ÷ optax | ÷ torch |", "|---|---|---:|---:|"]
    lines += [_quote(rows[method, key]) for method in METHODS for key in ("leaf", "gpt2")]
    lines += [_quote(rows["muon", key]) for key in ("large matrices", "small matrices")]
    many, small = rows["adamw", "many"], rows["muon", "small matrices"]
    told = (
        f"Compiling, in units of optax's time: adamw on 2,000 arrays {many['compile_ratio']:.2f} "
        f"(tracing {many['trace_ratio']:.2f}), muon on 200 equal matrices "
        f"{small['compile_ratio']:.2f}. Measured with jax {about['jax']}, optax {about['optax']} "
        f"and torch {about['torch']}, {about['cores']} cores; all tables, with what was missed and "
        f"why, are in [benchmarks/results]({folder.relative_to(README.parent).as_posix()})."
    )
    return "\n".join([*lines, "", *textwrap.wrap(told, 100)])


def _quote(row: dict[str, Any]) -> str:
    torch = quartiles(row["ratio_torch"]) if "ratio_torch" in row else ""
    return f"| {row['method']} | {row['workload']} | {quartiles(row['ratio'])} | {torch} |"


def readme() -> str:
    """The README with the ratios of the stored run."""
    text = README.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    return f"{head}{BEGIN}\n{quoted()}\n{END}{tail}"
