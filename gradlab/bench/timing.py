"""The timing probe: the pieces of a run compiled for one trial, run alone, warm, and waited for.

A group's wall time says what a sweep cost. It says little about an optimizer: lanes share the
cache and the memory bus, and two processes share the cores. So the pieces are timed apart, after
all groups are done.
"""

import json
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import gradlab as gl
from gradlab.bench import segments
from gradlab.bench.configure import configured, learning_rates
from gradlab.bench.directory import Directory, read_json
from gradlab.bench.environment import load_average
from gradlab.bench.grid import made
from gradlab.bench.programs import Compiled, compiled, shared, training_step
from gradlab.bench.results import Timing
from gradlab.bench.study import OptimizerSpec, ProblemSpec, Study

_WARM_UP = 3


def probe(
    study: Study, directory: Directory, notify: Callable[[str], None] = lambda line: None
) -> None:
    """Times all pieces of all optimizers on all problems and stores the durations.

    What is stored already is not timed again.

    Args:
        study: the study.
        directory: its directory.
        notify: called with a line of text for each problem and optimizer.
    """
    for problem in study.problems:
        common: dict[str, list[float]] = {}
        for index, optimizer in enumerate(study.optimizers):
            path = directory.timing(problem.name, index)
            if path.is_file():
                continue
            notify(f"timing {optimizer.label} on {problem.name}")
            common = common or _common_pieces(study, problem)
            pieces = {**_own_pieces(study, problem, optimizer), **common}
            content = {
                "problem": problem.name,
                "optimizer": optimizer.label,
                "load_average": load_average(),
                "pieces": pieces,
            }
            segments.write_atomically(path, json.dumps(content) + "\n")


def stored_timings(study: Study, directory: Directory) -> tuple[Timing, ...]:
    """Reads what the probe has measured so far.

    Args:
        study: the study.
        directory: its directory.

    Returns:
        One timing for each problem, optimizer and piece.
    """
    found: list[Timing] = []
    for problem in study.problems:
        for index, optimizer in enumerate(study.optimizers):
            path = directory.timing(problem.name, index)
            if path.is_file():
                pieces = read_json(path)["pieces"]
                found += [_timing(problem.name, optimizer.label, *item) for item in pieces.items()]
    return tuple(found)


def _timing(problem: str, optimizer: str, piece: Any, seconds: list[float]) -> Timing:
    low, middle, high = (float(q) for q in np.percentile(seconds, (25, 50, 75)))
    return Timing(problem, optimizer, piece, middle, low, high, len(seconds))


def _initial(study: Study, spec: ProblemSpec) -> Any:
    """The initial parameters of the first seed."""
    lanes = shared(made(spec), study.seeds).initial
    return jax.tree.map(lambda leaf: jax.device_put(np.asarray(leaf)[0]), lanes)


def _common_pieces(study: Study, spec: ProblemSpec) -> dict[str, list[float]]:
    """Drawing a batch and evaluating: the same programs for every optimizer."""
    problem, params = made(spec), _initial(study, spec)
    key = jax.random.PRNGKey(study.seeds[0])
    sample = compiled(problem.sample, key).call
    evaluate = compiled(problem.evaluate, params).call
    return {
        "data": _durations(lambda: sample(key), study.probe.repetitions),
        "evaluation": _durations(lambda: evaluate(params), study.probe.repetitions),
    }


def _own_pieces(
    study: Study, spec: ProblemSpec, optimizer: OptimizerSpec
) -> dict[str, list[float]]:
    """Tracing, compiling and running the training step of one trial."""
    problem, params = made(spec), _initial(study, spec)
    rates = learning_rates(optimizer, study.rates)
    middle = rates[len(rates) // 2]
    opt = gl.as_arrays(configured(optimizer, middle, study.schedule, spec.horizon))
    state = jax.jit(opt.init)(params)
    key = jax.random.PRNGKey(study.seeds[0])
    batch = jax.jit(problem.sample)(key)

    def step(opt, params, state, batch, key):
        return training_step(problem, opt, params, state, batch, key)

    programs = [
        compiled(step, opt, params, state, batch, key, donate=(1, 2))
        for _ in range(study.probe.compile_repetitions)
    ]
    return {
        "trace": [program.trace_seconds for program in programs],
        "compile": [program.compile_seconds for program in programs],
        "step": _steps(programs[0], opt, params, state, batch, key, study.probe.repetitions),
    }


def _steps(
    program: Compiled, opt: Any, params: Any, state: Any, batch: Any, key: Any, repetitions: int
) -> list[float]:
    carry = [params, state]

    def once():
        params, state, loss = program.call(opt, *carry, batch, key)
        carry[:] = params, state
        return params, state, loss

    return _durations(once, repetitions)


def _durations(call: Callable[[], Any], repetitions: int) -> list[float]:
    """Durations of a call whose result is waited for, after some calls that are not counted."""
    for _ in range(_WARM_UP):
        jax.block_until_ready(call())
    seconds = []
    for _ in range(repetitions):
        start = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - start)
    return seconds
