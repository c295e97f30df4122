"""By how much resident memory grows in a call, at its peak, in a process of its own.

Every library is measured in the same way: what it needs beside the arrays that were there before.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

_RESET = Path("/proc/self/clear_refs")


def growth_apart(module: str, told: Any) -> int | None:
    """Runs `python -m module` with something told as JSON; the module prints `growth_of` a call.

    Returns:
      Bytes; None where the system does not count.
    """
    if not _RESET.exists() or jax.default_backend() != "cpu":
        return None
    done = subprocess.run(
        [sys.executable, "-m", module, json.dumps(told)],
        capture_output=True, text=True, check=True, timeout=900, env=os.environ,
    )  # fmt: skip
    return int(done.stdout)


def growth_of(call: Callable[[], Any]) -> int:
    """How much resident memory grows in a call, at its peak [bytes]."""
    _RESET.write_text("5")  # the peak counts from here on
    before = _resident("VmRSS")
    call()
    return max(0, _resident("VmHWM") - before)


def _resident(field: str) -> int:
    """A line of the kernel's account of this process [bytes]."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0
