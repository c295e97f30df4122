"""Where tables are kept, and what of them the README quotes."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
from pathlib import Path
from typing import Any

import jax

from benchmarks.limits import Limits
from benchmarks.table import Table
from gradlab.bench.environment import cores, environment, load_average, now

RESULTS = Path(__file__).parent / "results"
_SHOWN = ("cpu", "cores", "device", "python", "jax", "jaxlib", "optax", "numpy", "git_revision")


def folder_of_this_machine(tiny: bool = False) -> Path:
    """One folder for each kind of machine: `cpu-2-cores`, or the name of the accelerator."""
    device = jax.devices()[0]
    kind = device.device_kind.lower().replace(" ", "-")
    name = f"cpu-{cores()}-cores" if device.platform == "cpu" else f"{device.platform}-{kind}"
    return RESULTS / (f"tiny-{name}" if tiny else name)


def write(folder: Path, tables: list[Table], limits: Limits) -> Path:
    """Writes `tables.json` and `tables.md`.

    Tables of an earlier run that were not measured again are not kept: ratios to the
    machine's limits and to each other hold within one run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    about = environment() | {"torch": _torch(), "time": now(), "load_average": load_average()}
    data = {
        "environment": about,
        "limits": dataclasses.asdict(limits),
        "tables": [table.data() for table in tables],
    }
    (folder / "tables.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    text = "\n\n".join([_head(about, limits), *(table.markdown() for table in tables)])
    path = folder / "tables.md"
    path.write_text(text + "\n", encoding="utf-8")
    return path


def _torch() -> str | None:
    try:
        return importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return None


def _head(about: dict[str, Any], limits: Limits) -> str:
    machine = ", ".join(f"{key} {about[key]}" for key in (*_SHOWN, "torch") if about.get(key))
    return "\n".join(
        [
            "# Implementations compared",
            "",
            f"`python -m benchmarks`, {about['time']}. {machine}.",
            "",
            f"Limits in this run: copying {limits.copy / 1e9:.1f} GB/s, reading "
            f"{limits.read / 1e9:.1f} GB/s, float32 matrix product "
            f"{limits.matmul / 1e9:.0f} GFLOP/s. Durations are medians.",
        ]
    )
