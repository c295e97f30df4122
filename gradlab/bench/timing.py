"""The timing probe: the pieces of a run compiled for one trial, run alone, warm, and waited for.

A group's wall time says what a sweep cost. It says little about an optimizer: lanes share the
cache and the memory bus, and two processes share the cores. So the pieces are timed apart, after
all groups are done.
"""

import dataclasses
import json
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
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
        bench: _Bench | None = None
        for index, optimizer in enumerate(study.optimizers):
            path = directory.timing(problem.name, index)
            if path.is_file():
                continue
            notify(f"timing {optimizer.label} on {problem.name}")
            bench = bench or _bench(study, problem)
            pieces = {**_own_pieces(study, problem, optimizer, bench), **bench.pieces}
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


@dataclasses.dataclass(frozen=True)
class _Bench:
    """What all optimizers on a problem are timed with, and the pieces that they share.

    Drawing a batch and evaluating are the same programs whatever the optimizer is.
    """

    params: Any
    batch: Any
    key: jax.Array
    pieces: dict[str, list[float]]


def _bench(study: Study, spec: ProblemSpec) -> _Bench:
    problem, key = made(spec), jax.random.PRNGKey(study.seeds[0])
    lanes = shared(problem, study.seeds).initial
    params = jax.tree.map(lambda leaf: jnp.array(np.asarray(leaf)[0]), lanes)
    sample = compiled(problem.sample, key).call
    evaluate = compiled(problem.evaluate, params).call
    pieces = {
        "data": _durations(lambda: sample(key), study.probe.repetitions),
        "evaluation": _durations(lambda: evaluate(params), study.probe.repetitions),
    }
    batch = sample(key)
    # Tracing a problem's gradient fills jax's caches; else the first optimizer would pay for it.
    jax.jit(jax.value_and_grad(problem.loss)).lower(params, batch)
    return _Bench(params, batch, key, pieces)


def _own_pieces(
    study: Study, spec: ProblemSpec, optimizer: OptimizerSpec, bench: _Bench
) -> dict[str, list[float]]:
    """Tracing, compiling and running the training step of one trial."""
    problem, rates = made(spec), learning_rates(optimizer, study.rates)
    middle = rates[len(rates) // 2]
    opt = gl.as_arrays(configured(optimizer, middle, study.schedule, spec.horizon))
    params = jax.tree.map(jnp.array, bench.params)  # a copy: the step takes its memory over
    state = jax.jit(opt.init)(params)
    batch, key = bench.batch, bench.key

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
