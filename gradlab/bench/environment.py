"""What a study ran on: everything that its numbers may depend on and its config does not say."""

import datetime
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

import gradlab

_PACKAGES = ("jax", "jaxlib", "optax", "flax", "numpy", "scikit-learn", "optuna")


def now() -> str:
    """Returns the time in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def environment() -> dict[str, Any]:
    """Describes this machine and this program.

    Returns:
        Plain data: versions, processor, memory, device, precision, flags and revision.
    """
    device = jax.devices()[0]
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _processor(),
        "cores": cores(),
        "memory_bytes": _memory(),
        "device": f"{device.platform}: {device.device_kind}",
        "devices": jax.device_count(),
        **{package: _version(package) for package in _PACKAGES},
        "gradlab": getattr(gradlab, "__version__", None) or _version("gradlab"),
        "precision": str(jnp.result_type(float)),
        "matmul_precision": _matmul_precision(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "git_revision": _revision(),
    }


def load_average() -> float | None:
    """Returns how many processes wanted a core in the last minute, None where nobody counts."""
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):
        return None


def _matmul_precision() -> str:
    # jax defines its options at run time, where a type checker does not see them.
    precision = jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]
    return str(precision or "default")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def cores() -> int:
    """Returns how many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _revision() -> str | None:
    """The revision of a checkout, with a mark where files differ; None for an installed wheel."""
    folder = Path(gradlab.__file__).resolve().parent
    if not (folder.parent / ".git").exists():
        return None
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
