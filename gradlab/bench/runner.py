"""Runs a study: claims its groups one after another, and runs each from where it stopped."""

import dataclasses
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pyarrow as pa

from gradlab import catalog
from gradlab.bench import segments, timing, trajectories
from gradlab.bench.claims import Claims
from gradlab.bench.curves import diverged_at, final_values
from gradlab.bench.directory import Directory, open_directory, read_json
from gradlab.bench.environment import environment, now
from gradlab.bench.grid import Group, groups, made, optimizers, tree_bytes
from gradlab.bench.programs import GroupPrograms
from gradlab.bench.study import Study
from gradlab.bench.trials import Trials

_SETUP, _PROBE = "setup", "probe"
_PAUSE = 0.2


class ClaimLost(Exception):
    """Another process has taken a group over, because this one seemed to be dead."""


@dataclasses.dataclass
class Runner:
    """One process's work on a study.

    Args:
        study: the study.
        directory: its directory.
        claims: this process's claims.
        notify: called with a line of text whenever something begins or ends.
    """

    study: Study
    directory: Directory
    claims: Claims
    notify: Callable[[str], None] = lambda line: None

    def __post_init__(self) -> None:
        self.groups = groups(self.study)

    def run(self, probe: bool = True) -> None:
        """Works until everything is done, by this process or by another one.

        Args:
            probe: whether to wait for the end of all groups and to see to the timing probe.
        """
        with self.claims.beating():
            self._once(_SETUP, self._set_up)
            self.trials = Trials(self.directory.trials, self.study.name)
            work = [(group.name, self._group_work(group)) for group in self._longest_first()]
            work += [(unit, self._path_work(i)) for i, unit in enumerate(self._path_units())]
            self._work_off(work, wait=probe)
            if probe:
                self._once(_PROBE, self._probe)

    def _work_off(self, work: list[tuple[str, Callable[[], None]]], wait: bool) -> None:
        """Does every unit that is to be had; where `wait`, until all are done by somebody."""
        while True:
            done = self.claims.done()
            open_units = [(unit, task) for unit, task in work if unit not in done]
            if not open_units:
                return
            if not any(self._try(unit, task) for unit, task in open_units):
                if not wait:
                    return
                time.sleep(_PAUSE)

    def _once(self, unit: str, task: Callable[[], None]) -> None:
        self._work_off([(unit, task)], wait=True)

    def _try(self, unit: str, task: Callable[[], None]) -> bool:
        if not self.claims.acquire(unit):
            return False
        try:
            task()
        except ClaimLost:
            return True
        except BaseException:
            self.claims.release(unit)
            raise
        self.claims.finish(unit)
        return True

    def _set_up(self) -> None:
        if not self.directory.environment.is_file():
            sources = {f"{p.name} {k}": v for p in self._problems() for k, v in p.sources.items()}
            facts = {**environment(), "data": sources, "started": now()}
            _write_json(self.directory.environment, facts)
        Trials(self.directory.trials, self.study.name).enqueue(self.groups)

    def _problems(self) -> list[Any]:
        return [made(spec) for spec in self.study.problems]

    def _longest_first(self) -> list[Group]:
        """Two processes finish together when the long groups do not come last."""

        def length(group: Group) -> int:
            return made(group.problem).parameters * group.problem.horizon * len(group.rows)

        return sorted(self.groups, key=length, reverse=True)

    def _group_work(self, group: Group) -> Callable[[], None]:
        return lambda: self._run_group(group)

    def _run_group(self, group: Group) -> None:
        self.notify(f"{group.optimizer.label} on {group.problem.name}")
        self.trials.begin(group)
        folder = self.directory.group(group.name)
        folder.mkdir(parents=True, exist_ok=True)
        segments.clean(folder)
        if segments.finished(folder) < group.problem.evaluations:
            self._train(group, folder)
        table, _ = segments.read_curves(folder)
        assert table is not None
        numbers = [number for number, _, _ in group.trials]
        self.trials.end(group, final_values(table, numbers), diverged_at(table, numbers))

    def _train(self, group: Group, folder: Path) -> None:
        length = group.problem.segment_length
        problem = made(group.problem)
        programs = GroupPrograms(problem, optimizers(self.study, group), group.seeds, length)
        index = segments.finished(folder)
        carry = programs.start
        if index:
            carry = jax.device_put(segments.read_state(folder, index - 1, carry))
        lanes = len(group.trials)
        facts = {
            "peak_memory_bytes": programs.peak_bytes,
            "parameters": problem.parameters,
            "gradient_evaluations_per_step": catalog.get(
                group.optimizer.name
            ).traits.gradient_evaluations,
            "state_bytes_per_parameter": tree_bytes(programs.start[1]) / lanes / problem.parameters,
        }
        counted = 0.0
        while index < group.problem.evaluations:
            if not self.claims.holds(group.name):
                raise ClaimLost(group.name)
            _note(folder, index)
            table, carry, seconds = _segment(programs, group, carry, index)
            facts |= {
                "wall_seconds": seconds,
                "compile_seconds": programs.compile_seconds - counted,
            }
            counted = programs.compile_seconds
            last = index + 1 == group.problem.evaluations
            segments.write(folder, index, table, facts, None if last else carry)
            index += 1

    def _path_units(self) -> list[str]:
        if not self.study.trajectories.landscapes:
            return []
        return [f"trajectories {o.label}" for o in self.study.optimizers]

    def _path_work(self, index: int) -> Callable[[], None]:
        return lambda: trajectories.record(
            self.study, self.study.optimizers[index], self.directory.trajectories(index)
        )

    def _probe(self) -> None:
        timing.probe(self.study, self.directory, self.notify)
        facts = read_json(self.directory.environment)
        _write_json(self.directory.environment, {**facts, "finished": now()})


def _segment(
    programs: GroupPrograms, group: Group, carry: Any, index: int
) -> tuple[pa.Table, Any, float]:
    """Runs one segment; returns its curves, the state after it, and the time without compiling."""
    length = group.problem.segment_length
    first, lanes = index * length, len(group.trials)
    start, compiling = time.perf_counter(), programs.compile_seconds
    values: dict[int, np.ndarray] = {}
    if index == 0:
        values[0] = np.asarray(programs.evaluate(carry[0])).reshape(lanes)
    params, state, losses = programs.run(carry[0], carry[1], first)
    values[first + length] = np.asarray(programs.evaluate(params)).reshape(lanes)
    losses = np.asarray(losses).reshape(lanes, length)
    seconds = time.perf_counter() - start - (programs.compile_seconds - compiling)
    numbers = [number for number, _, _ in group.trials]
    return segments.curves_table(numbers, first, losses, values), (params, state), seconds


def _note(folder: Path, index: int) -> None:
    """Logs that a segment begins, so that one can see afterwards what ran, when and where."""
    line = json.dumps({"segment": index, "process": os.getpid(), "time": now()})
    with (folder / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def _write_json(path: Path, content: Any) -> None:
    segments.write_atomically(path, json.dumps(content, indent=2) + "\n")


def run(
    study: Study,
    directory: Path,
    *,
    probe: bool = True,
    command: str = "",
    notify: Callable[[str], None] = lambda line: None,
    claims: Claims | None = None,
) -> None:
    """Runs a study, or what is left of it.

    It may be killed at any moment and called again, and several processes may call it at once.

    Args:
        study: the study.
        directory: where its results go.
        probe: whether to wait for the end of all groups and to see to the timing probe.
        command: the command that runs the study, to be shown with its results.
        notify: called with a line of text whenever a piece of work begins.
        claims: this process's claims; needed only for other heartbeats than usual.

    Raises:
        StudyError: where the directory belongs to another study.
    """
    opened = open_directory(directory, study, command)
    Runner(study, opened, claims or Claims(opened.claims), notify).run(probe)
