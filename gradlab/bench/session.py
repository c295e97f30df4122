"""One call of `gradlab bench`: the study, its directory, its processes, and the progress bar."""

import contextlib
import shlex
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from gradlab.bench import segments
from gradlab.bench.claims import Claims
from gradlab.bench.directory import Directory, open_directory
from gradlab.bench.grid import digest_of, resolved
from gradlab.bench.runner import Runner
from gradlab.bench.study import Study, read_study, shrink
from gradlab.bench.workers import default_jobs, helpers

STUDIES = Path("studies")
"""Where studies go that are given no directory, below the current one."""


def run_study(
    path: Path,
    given: str,
    *,
    tiny: bool = False,
    directory: Path | None = None,
    jobs: int | None = None,
) -> Path:
    """Runs a study, or what is left of it.

    Args:
        path: its file.
        given: how the user called it, for the command that runs it again.
        tiny: whether to run its tiny version.
        directory: where its results go; by default a directory named after the study and its
            configuration, so that a changed study begins anew.
        jobs: processes to run at once.

    Returns:
        The directory.

    Raises:
        StudyError: for a study that cannot be read, or a directory of another study.
    """
    study = read_study(path)
    study = shrink(study) if tiny else study
    root = directory or STUDIES / f"{study.name}-{digest_of(resolved(study))[:8]}"
    command = shlex.join(["gradlab", "bench", given, *(["--tiny"] if tiny else [])])
    opened = open_directory(root, study, command)
    print(f"study {study.name} in {root}", file=sys.stderr)
    runner = Runner(study, opened, Claims(opened.claims))
    others = (jobs or default_jobs()) - 1
    with helpers(opened, min(others, len(runner.groups) - 1)), _progress(runner) as notify:
        runner.notify = notify
        runner.run()
    return root


@contextlib.contextmanager
def _progress(runner: Runner) -> Iterator[Callable[[str], None]]:
    """Shows how many segments are finished, by whichever process, and what this one does."""
    console = Console(stderr=True)
    columns = (BarColumn(), TextColumn("{task.completed}/{task.total}"), TimeElapsedColumn())
    bar = Progress(*columns, TextColumn("{task.description}"), console=console, transient=True)
    if not console.is_terminal:
        yield lambda line: None
        return
    total = sum(group.problem.evaluations for group in runner.groups) + _probes(runner.study)
    task = bar.add_task("starting", total=total)
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.5):
            bar.update(task, completed=_finished(runner, runner.directory))

    thread = threading.Thread(target=watch, name="progress", daemon=True)
    with bar:
        thread.start()
        try:
            yield lambda line: bar.update(task, description=line)
        finally:
            stop.set()
            thread.join()


def _probes(study: Study) -> int:
    return len(study.problems) * len(study.optimizers)


def _finished(runner: Runner, directory: Directory) -> int:
    count = sum(segments.finished(directory.group(group.name)) for group in runner.groups)
    for problem in runner.study.problems:
        for index in range(len(runner.study.optimizers)):
            count += directory.timing(problem.name, index).is_file()
    return count
