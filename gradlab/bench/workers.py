"""Several processes on one study: the one that was started, and helpers that it starts."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import jax

from gradlab.bench.claims import Claims
from gradlab.bench.directory import Directory, open_directory, stored_study
from gradlab.bench.environment import cores
from gradlab.bench.runner import Runner

_MOST = 4


def default_jobs() -> int:
    """Returns how many processes suit this machine.

    Small programs keep one core busy, and compiling does too, so a process per core up to a few;
    on an accelerator one, which takes the whole device.
    """
    return min(_MOST, cores()) if jax.default_backend() == "cpu" else 1


@contextlib.contextmanager
def helpers(directory: Directory, count: int) -> Iterator[None]:
    """Has other processes work on a study while the block runs.

    Args:
        directory: the study's directory, which must hold the study.
        count: how many processes.
    """
    command = [sys.executable, "-m", "gradlab.bench.workers", str(directory.root)]
    with contextlib.ExitStack() as stack:
        processes = []
        for index in range(count):
            log = stack.enter_context((directory.root / f"helper-{index}.log").open("ab"))
            processes.append(subprocess.Popen(command, stdout=log, stderr=log))
        try:
            yield
        finally:
            for process in processes:
                process.terminate()
                process.wait()
            _remove_empty_logs(directory)


def _remove_empty_logs(directory: Directory) -> None:
    for log in directory.root.glob("helper-*.log"):
        if log.stat().st_size == 0:
            log.unlink()


def _help(root: Path) -> None:
    study, _ = stored_study(root)
    directory = open_directory(root, study)
    Runner(study, directory, Claims(directory.claims)).run(probe=False)


def _end_with(parent: int) -> None:
    """Ends this process when its parent is gone; segments survive any end."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    _help(Path(sys.argv[1]))
