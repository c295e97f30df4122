"""Hypergradients of every method as numbers: `python -m gradlab.testing.derivative_table`.

Measures methods that have no row yet and writes a row for each as soon as it is there, so that a
run that was stopped goes on where it was. With names it measures those again. From the rows
`python -m gradlab._generate` writes HYPERGRADIENTS.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from gradlab import catalog, core
from gradlab.core import Entry
from gradlab.testing import (
    _bilevel,
    _derivatives,
    _hypergradient,
    _operator_numbers,
    _regularizer,
    _solver,
)
from gradlab.testing._derivatives import Probe
from gradlab.testing._failure import BrokenPromise
from gradlab.testing._operator_subject import OperatorSubject
from gradlab.testing._subject import (
    Subject,
    compiled_once,
    flat,
    interior,
    room,
)

ROWS = Path(__file__).parents[1] / "hypergradients.jsonl"
NEGLIGIBLE = 1e-3
"""Of the loss, for a change of a hyperparameter by its own size: below it, differences drown."""

PARAMS = "initial parameters"
ZERO = "where gradients are exactly zero, it is not finite"

Row = dict[str, Any]


def measure(entry: Entry) -> Row:
    """The row of one method.

    Returns:
      `hyperparameters`, those of the working example; `errors`, for each mode the relative error
      of the derivative by each variable; and `not_finite`, what was not a number where gradients
      are exactly zero, or an empty text.
    """
    row = {"name": entry.name, "hyperparameters": hyperparameters_of(entry)}
    return row | MEASURES[entry.kind](entry)


def hyperparameters_of(entry: Entry) -> list[str]:
    """The hyperparameters of the working example, where it has some."""
    return list(core.hyperparameters(entry.make())) if entry.makes_data else []


def _of_transformation(entry: Entry) -> Row:
    return _through_training(Subject.of(entry), _derivatives.check_finite_at_zero)


def _of_regularizer(entry: Entry) -> Row:
    subject = _regularizer.RegularizerSubject.of(entry)
    return _through_training(subject, _regularizer.check_finite_at_zero)


def _through_training(subject: Any, check_finite: Callable[[Any], str]) -> Row:
    """Reverse and forward mode through training in float64, against central differences."""
    # Not through the cache: a probe holds programs and arrays of a method that comes once.
    found = _derivatives.probe.__wrapped__(subject)
    errors = {
        mode: errors_of(found, getattr(found, mode), getattr(found, f"params_{mode}"))
        for mode in ("reverse", "forward")
    }
    try:
        check_finite(subject)
    except BrokenPromise as error:
        return {"errors": errors, "not_finite": str(error)}
    return {"errors": errors, "not_finite": ""}


def errors_of(found: Probe, values: np.ndarray, along_params: float) -> dict[str, float]:
    """Relative errors of derivatives by hyperparameters, and along initial parameters.

    Relative to the central difference, or to `NEGLIGIBLE` of the loss over the scale on which
    the hyperparameter varies where that is larger.
    """
    differences = (found.losses[1::3] - found.losses[2::3]) / (2 * found.steps)
    scales = found.steps / _derivatives.RELATIVE_STEP
    wanted = np.array([*differences, found.params_difference])
    least = NEGLIGIBLE * abs(found.loss) / np.array([*scales, 1.0])
    computed = np.array([*values, along_params])
    return _named((*found.names, PARAMS), _relative(computed, wanted, least))


def _of_hypergradient(entry: Entry) -> Row:
    """The estimate on the contract's problem in float64, against central differences.

    The mean of draws for a stochastic one. An error is relative to the largest derivative.
    """
    subject = _hypergradient.HypergradientSubject.of(entry)
    count = _hypergradient.KEYS if entry.traits.stochastic else 1
    with jax.enable_x64(True):
        problem = _hypergradient.QuadraticProblem.make(jnp.float64)
        x, keys = problem.outer_variables(), jax.random.split(jax.random.PRNGKey(0), count)
        draws = jax.vmap(lambda key: flat(subject.estimate(subject.opt, problem, x, key)))
        found = np.asarray(compiled_once(draws)(keys)).mean(0)
        start, unravel = ravel_pytree(x)
        wanted = np.array([_difference(problem, unravel, start, i) for i in range(len(start))])
    errors = {"estimate": _by_outer_variable(x, found, wanted)}
    nothing, still = _nothing(_hypergradient.QuadraticProblem.make())
    at_zero = subject.estimate(subject.opt, nothing, still, jax.random.PRNGKey(0))
    finite = bool(jnp.all(jnp.isfinite(flat(at_zero))))
    return {"errors": errors, "not_finite": "" if finite else ZERO}


def _of_solver(entry: Entry) -> Row:
    """Reverse and forward mode through the solution of the contract's problem, in float64."""
    subject = _solver.SolverSubject.of(entry)

    def both(opt: Any, problem: Any, x: Any) -> Any:
        vector, back = ravel_pytree(x)

        def outer(v: jax.Array) -> jax.Array:
            return problem.outer(back(v), subject.at(opt, problem, back(v)).params)

        return _both_modes(outer)(vector)

    with jax.enable_x64(True):
        problem = _solver.SolvedProblem.make(jnp.float64)
        x = problem.outer_variables()
        found = compiled_once(both)(core.replace(subject.opt, tol=_solver.TIGHT), problem, x)
        start, unravel = ravel_pytree(x)
        wanted = np.array([_difference(problem, unravel, start, i) for i in range(len(start))])
    errors = {
        mode: _by_outer_variable(x, np.asarray(found[mode]), wanted)
        for mode in ("reverse", "forward")
    }
    nothing, still = _nothing(_solver.SolvedProblem.make())
    at_zero = compiled_once(both)(subject.opt, nothing, still)
    finite = all(bool(jnp.all(jnp.isfinite(x))) for x in at_zero.values())
    return {"errors": errors, "not_finite": "" if finite else ZERO}


def _by_outer_variable(x: Any, found: np.ndarray, wanted: np.ndarray) -> dict[str, float]:
    """Errors relative to the largest derivative, one for each outer variable."""
    names = [f"{key}[{i}]" for key, v in sorted(x.items()) for i in range(np.size(v))]
    return _named(names, _relative(found, wanted, np.max(np.abs(wanted))))


def _nothing(problem: Any) -> tuple[Any, Any]:
    """A problem and outer variables where all gradients are exactly zero."""
    nothing = jax.tree.map(jnp.zeros_like, problem)
    nothing = dataclasses.replace(nothing, curvature=jnp.eye(len(nothing.offset)))
    return nothing, jax.tree.map(jnp.zeros_like, nothing.outer_variables())


def _difference(problem: Any, unravel: Callable[[Any], Any], start: Any, i: int) -> float:
    h = 1e-6

    def objective(x: Any) -> float:
        return float(problem.outer(unravel(x), problem.solution(unravel(x))))

    return (objective(start.at[i].add(h)) - objective(start.at[i].add(-h))) / (2 * h)


def _of_bilevel(entry: Entry) -> Row:
    """Reverse and forward mode through steps on the contract's bilevel problem, in float64."""
    with jax.enable_x64(True):
        subject = _bilevel_subject(entry)
        opt = interior(subject.opt)
        end = _outer_objective(subject, opt, noise=0.3)
        numbers = jnp.array(jax.tree.leaves(opt), jnp.float64)
        ranges = core.intervals(opt).values()
        scales = np.array([room(float(x), r) for x, r in zip(numbers, ranges, strict=True)])
        steps = np.diag(_derivatives.RELATIVE_STEP * scales)
        value = compiled_once(end)
        wanted = np.array([float(value(numbers + h) - value(numbers - h)) for h in steps])
        wanted = wanted / (2 * np.diag(steps))
        least = NEGLIGIBLE * abs(float(value(numbers))) / scales
        found = compiled_once(_both_modes(end))(numbers)
    names = list(core.hyperparameters(opt))
    errors = {
        mode: _named(names, _relative(np.array(found[mode]), wanted, least))
        for mode in ("reverse", "forward")
    }
    subject = _bilevel_subject(entry, scale=0.0)
    still = _outer_objective(subject, subject.opt, noise=0.0)
    numbers = jnp.array(jax.tree.leaves(subject.opt), jnp.float32)
    at_zero = compiled_once(_both_modes(still))(numbers)
    finite = all(bool(jnp.all(jnp.isfinite(x))) for x in at_zero.values())
    return {"errors": errors, "not_finite": "" if finite else ZERO}


def _of_operator(entry: Entry) -> Row:
    """Derivatives of its value by tree, strengths and scaling, along a direction of each."""
    subject = OperatorSubject.of(entry)
    wanted, forward, reverse = _operator_numbers.slopes(subject, 10, 1.0)
    names = sorted(["tree", "scaling", *subject.example])
    kept = [i for i, name in enumerate(names) if subject.scales or name != "scaling"]
    errors = {
        mode: _named([names[i] for i in kept], _relative(found, wanted, NEGLIGIBLE)[kept])
        for mode, found in (("reverse", reverse), ("forward", forward))
    }
    try:
        _operator_numbers.check_finite(subject)
    except BrokenPromise as error:
        return {"errors": errors, "not_finite": str(error)}
    return {"errors": errors, "not_finite": ""}


def _bilevel_subject(entry: Entry, scale: float = 1.0) -> Any:
    """The contract's subject; with scale 0 the inner variables start where they are best."""
    subject = _bilevel.BilevelSubject.of(entry)
    known = subject.quadratic
    scaled = {name: scale * getattr(known, name) for name in ("coupling", "offset", "target")}
    known = dataclasses.replace(known, **scaled)
    vars(subject)["quadratic"] = known
    _ = known.half_space  # in numbers; asked for within a program, it would be traced
    return subject


def _outer_objective(subject: Any, opt: Any, noise: float) -> Callable[[jax.Array], jax.Array]:
    """The outer objective after some steps, as a function of the leaves of the method."""
    treedef = jax.tree.structure(opt)

    def end(numbers: jax.Array) -> jax.Array:
        method = treedef.unflatten(list(numbers))
        last = subject.run(method, _bilevel.PROBE_STEPS, numbers.dtype, noise=noise)
        return subject.quadratic.outer(last.x, last.y, subject.quadratic.batches(numbers.dtype)[0])

    return end


def _both_modes(function: Callable[[jax.Array], jax.Array]) -> Callable[[jax.Array], Any]:
    """Derivatives by every number, in reverse and in forward mode."""
    return lambda x: {"reverse": jax.grad(function)(x), "forward": jax.jacfwd(function)(x)}


def _relative(found: np.ndarray, wanted: np.ndarray, least: Any) -> np.ndarray:
    return np.abs(found - wanted) / np.maximum(np.abs(wanted), least)


def _named(names: Sequence[str], values: np.ndarray) -> dict[str, float]:
    """Values with one digit, under their names."""
    return {name: float(f"{x:.0e}") for name, x in zip(names, values, strict=True)}


MEASURES: dict[str, Callable[[Entry], Row]] = {
    "transformation": _of_transformation,
    "regularizer": _of_regularizer,
    "hypergradient": _of_hypergradient,
    "bilevel": _of_bilevel,
    "solver": _of_solver,
    "operator": _of_operator,
}
"""What is measured of each kind of function."""


def rows(path: Path = ROWS) -> dict[str, Row]:
    """All rows that are stored, by method."""
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    return {row["name"]: row for row in map(json.loads, lines)}


def write(found: dict[str, Row], path: Path = ROWS) -> None:
    """Stores rows, a line for each, sorted by name; the file is replaced at once."""
    lines = [json.dumps(found[name]) + "\n" for name in sorted(found)]
    beside = path.with_suffix(".new")
    beside.write_text("".join(lines), encoding="utf-8")
    os.replace(beside, path)


def bring_up_to_date(
    entries: Sequence[Entry], again: Iterable[str] = (), path: Path = ROWS
) -> list[str]:
    """Measures what has no row, or is named, and drops rows of methods that are gone.

    Returns:
      The methods that were measured.
    """
    known = {entry.name: entry for entry in entries}
    kept = {name: row for name, row in rows(path).items() if name in known}
    write(kept, path)
    old = [name for name in known if name in set(again) or not is_current(known[name], kept)]
    for name in old:
        kept[name] = measure(known[name])
        write(kept, path)
        print(f"{name}: {by_variable(kept[name])}", flush=True)
        jax.clear_caches()  # programs of a method that is not seen again
    return old


def is_current(entry: Entry, found: Mapping[str, Row]) -> bool:
    """Whether a row is there, and of the hyperparameters that the method has."""
    return found.get(entry.name, {}).get("hyperparameters") == hyperparameters_of(entry)


def worst(row: Row) -> dict[str, float]:
    """For each variable the largest error of any mode; not a number where one is not."""
    modes = list(row["errors"].values())
    return {name: float(np.max([mode[name] for mode in modes])) for name in modes[0]}


def shown(error: float) -> str:
    """An error's order of magnitude, rounded up."""
    if not math.isfinite(error):
        return "not finite"
    return "<1e-9" if error < 1e-9 else f"1e{math.ceil(math.log10(error) - 1e-9):d}"


def by_variable(row: Row) -> str:
    """The errors by variable, as text."""
    return ", ".join(f"{name} {shown(error)}" for name, error in worst(row).items())


def summary(row: Row, mode: str) -> str:
    """The median and the largest error of a mode, as text."""
    errors = list(row["errors"][mode].values())
    return f"{shown(float(np.median(errors)))}, {shown(float(np.max(errors)))}"


@functools.cache
def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gradlab.testing.derivative_table", description=__doc__)
    parser.add_argument("names", nargs="*", help="methods to measure again")
    return parser


def main(told: Sequence[str] | None = None) -> None:
    """The command line."""
    names = _arguments().parse_args(told).names
    again = [catalog.get(name).name for name in names]
    measured = bring_up_to_date(catalog.entries(), again)
    print(f"{len(measured)} measured; {ROWS}")


if __name__ == "__main__":
    main()
