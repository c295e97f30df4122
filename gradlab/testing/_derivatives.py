"""Promises about hyperparameters as numbers: one trace, vmap, derivatives, consumption.

All of them read one probe: the canonical problem trained for a few steps in float64, as
four compiled programs.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradlab import core
from gradlab.testing._failure import require
from gradlab.testing._handles import handles, map_numbers, pick, put, values, with_number
from gradlab.testing._subject import (
    Subject,
    compiled_once,
    far,
    flat,
    interior,
    problem_params,
    room,
)

RELATIVE_STEP = 1e-4
VALUES = 20


@dataclasses.dataclass(frozen=True)
class Probe:
    """What the compiled programs of one subject gave.

    Attributes:
      names: of the hyperparameters, and of the entries of arrays that are varied.
      base: their values at the interior point.
      steps: finite-difference step for each.
      loss: final loss at the interior point.
      looped, mapped: final parameters, flattened, for base, base ± step of each leaf, and a
        far value of each leaf: one run at a time, and as one vmapped program.
      losses: final losses of the same runs.
      traces: how often the single program was traced over all of them and 20 more values
        of each hyperparameter.
      reverse, forward: derivatives of the final loss by hyperparameter.
      params_reverse, params_forward: directional derivative by the initial parameters.
      params_difference: its central difference.
    """

    names: tuple[str, ...]
    base: np.ndarray
    steps: np.ndarray
    loss: float
    looped: np.ndarray
    mapped: np.ndarray
    losses: np.ndarray
    traces: int
    reverse: np.ndarray
    forward: np.ndarray
    params_reverse: float
    params_forward: float
    params_difference: float


@functools.lru_cache(maxsize=4)
def probe(subject: Subject) -> Probe:
    """Runs the programs, once for each subject."""
    with jax.enable_x64(True):
        return _probe(subject)


def _variants(opt: Any, base: np.ndarray, steps: np.ndarray, far_values: list[float]) -> list:
    variants = [opt]
    for i, (x, h) in enumerate(zip(base, steps, strict=True)):
        variants += [with_number(opt, i, float(x + h)), with_number(opt, i, float(x - h))]
        variants.append(with_number(opt, i, far_values[i]))
    return variants


def _probe(subject: Subject) -> Probe:
    params = problem_params(jnp.float64)
    opt = interior(subject.opt)
    names = tuple(handle.name for handle in handles(opt))
    base = np.array(values(opt))
    steps = RELATIVE_STEP * np.array(map_numbers(lambda h, x: room(x, h.interval), opt))
    far_values = map_numbers(lambda h, x: far(x, h.interval), opt)
    traces = 0

    def run(opt: Any, params: Any) -> tuple[jax.Array, jax.Array]:
        nonlocal traces
        traces += 1
        value, end = subject.train(opt, params)
        return value, flat(end)

    single = compiled_once(run)
    variants = _variants(opt, base, steps, far_values)
    looped = [single(variant, params) for variant in variants]
    for i, x in enumerate(base):
        for value in np.linspace(x, far_values[i], VALUES):
            single(with_number(opt, i, float(value)), params)
    single_traces = traces
    direction = jax.tree.map(jnp.cos, params)
    h = 1e-6
    ahead, behind = (
        single(opt, jax.tree.map(lambda p, d, s=s: p + s * h * d, params, direction))[0]
        for s in (1, -1)
    )
    several = jax.vmap(run, in_axes=(0, None), axis_size=len(variants))
    mapped = compiled_once(several)(core.stack(variants), params)[1]
    derivatives = compiled_once(functools.partial(_derivatives, subject))(opt, params, direction)
    (by_opt, by_params), forward, params_forward = derivatives
    return Probe(
        names=names,
        base=base,
        steps=steps,
        loss=float(looped[0][0]),
        looped=np.array([end for _, end in looped]),
        mapped=np.asarray(mapped),
        losses=np.array([float(value) for value, _ in looped]),
        traces=single_traces,
        reverse=np.array([float(x) for x in pick(opt, by_opt)]),
        forward=np.asarray(forward),
        params_reverse=float(flat(by_params) @ flat(direction)),
        params_forward=float(params_forward),
        params_difference=float((ahead - behind) / (2 * h)),
    )


def _linearized(subject: Subject, opt: Any, params: Any) -> tuple[Any, Any, Any]:
    """The derivative of the final loss as a linear function, its transpose, and zeros."""
    opt = jax.tree.map(lambda x: jnp.asarray(x, params["gain"].dtype), opt)

    def final(opt: Any, params: Any) -> jax.Array:
        return subject.train(opt, params)[0]

    # Both modes from one linearization, as `jax.grad` has it: it is traced and compiled once.
    value, push = jax.linearize(final, opt, params)
    pull = jax.linear_transpose(push, opt, params)
    return push, pull(jnp.ones_like(value)), jax.tree.map(jnp.zeros_like, opt)


def _derivatives(subject: Subject, opt: Any, params: Any, direction: Any) -> tuple:
    """Reverse and forward derivatives of the final loss, as one program."""
    push, reverse, still = _linearized(subject, opt, params)
    n = len(pick(opt, opt))

    def forward(row: jax.Array) -> jax.Array:
        return push(put(still, list(row[:n])), jax.tree.map(lambda d: row[n] * d, direction))

    along = jax.vmap(forward)(jnp.eye(n + 1, dtype=params["gain"].dtype))
    return reverse, along[:-1], along[-1]


def _one_direction(subject: Subject, opt: Any, params: Any) -> tuple:
    """Reverse derivatives, and the forward one along all variables at once.

    A derivative that is not a number spreads into the sum, so that one direction is enough
    to find it.
    """
    push, reverse, still = _linearized(subject, opt, params)
    return reverse, push(*jax.tree.map(jnp.ones_like, (still, params)))


def check_one_trace(subject: Subject) -> str:
    """Changing hyperparameters never makes jit trace again."""
    traces = probe(subject).traces
    values = VALUES * len(probe(subject).names)
    require(traces == 1, f"{values} values of its hyperparameters took {traces} traces, not one")
    return f"{values} values, one trace"


def check_vmap_equals_loop(subject: Subject) -> str:
    """A vmapped stack of optimizers gives what a Python loop over them gives."""
    p = probe(subject)
    # Far values may diverge, and then every rounding counts.
    near = np.arange(len(p.looped)) % 3 != 0
    near[0] = True
    scale = np.maximum(np.abs(p.looped[near]), 1e-3)
    error = np.max(np.abs(p.looped[near] - p.mapped[near]) / scale)
    require(error < 1e-8, f"a vmapped stack differs from a loop by {error:.1e} (relative, float64)")
    return f"largest difference {error:.1e}"


def check_hypergradients(subject: Subject) -> str:
    """Derivatives by every hyperparameter are finite and equal finite differences.

    Where a method says that its derivatives leave something out, both modes agree, and some
    derivative does differ.
    """
    p = probe(subject)
    ahead, behind = p.losses[1::3], p.losses[2::3]
    difference = np.append((ahead - behind) / (2 * p.steps), p.params_difference)
    # Rounding of two losses, amplified by twenty steps, over the step.
    noise = 1e4 * np.finfo(np.float64).eps * max(abs(p.loss), 1) / p.steps
    allowed = 1e-5 * np.abs(difference) + np.append(noise, 1e-6)
    reverse = np.append(p.reverse, p.params_reverse)
    forward = np.append(p.forward, p.params_forward)
    names = (*p.names, "the initial parameters")
    for name, *both in zip(names, reverse, forward, strict=True):
        for mode, value in zip(("reverse", "forward"), both, strict=True):
            require(np.isfinite(value), f"the {mode}-mode derivative by {name} is {value}")
    if subject.traits.biased:
        return _check_bias(reverse, forward, difference, allowed)
    for i, name in enumerate(names):
        for mode, value in (("reverse", reverse[i]), ("forward", forward[i])):
            require(
                abs(value - difference[i]) <= allowed[i],
                f"the {mode}-mode derivative by {name} is {value:.10g}, "
                f"the finite difference {difference[i]:.10g}",
            )
    return f"{len(p.names)} hyperparameters and the initial parameters"


def _check_bias(
    reverse: np.ndarray, forward: np.ndarray, difference: np.ndarray, allowed: np.ndarray
) -> str:
    apart = np.max(np.abs(reverse - forward) / (1e-6 * np.abs(reverse) + 1e-6))
    require(apart <= 1, f"reverse and forward mode differ: {reverse} and {forward}")
    exact = np.all(np.abs(reverse - difference) <= allowed)
    require(not exact, "it says that derivatives leave something out, but they are exact")
    return "finite; both modes agree, finite differences do not"


def check_finite_at_zero(subject: Subject) -> str:
    """In float32, at the configured values, hypergradients are finite on dead units."""
    params = problem_params()
    by, forward = compiled_once(functools.partial(_one_direction, subject))(subject.opt, params)
    named = dict(zip(core.hyperparameters(subject.opt), jax.tree.leaves(by[0]), strict=True))
    for name, value in named.items():
        finite = bool(np.all(np.isfinite(value)))
        require(finite, f"float32, reverse mode: the derivative by {name} is {value}")
    require(
        all(bool(jnp.all(jnp.isfinite(x))) for x in jax.tree.leaves(by[1])),
        "float32, reverse mode: a derivative by the initial parameters is not finite",
    )
    require(np.isfinite(forward), f"float32, forward mode: a derivative is {forward}")
    return "finite in both modes"


def check_consumed(subject: Subject) -> str:
    """Every hyperparameter has an effect: on training, or on what follows an overflow."""
    p = probe(subject)
    for i, name in enumerate(p.names):
        same = np.allclose(p.looped[3 + 3 * i], p.looped[0], rtol=1e-12, atol=1e-12)
        require(
            not same or subject.decides_elsewhere(i),
            f"{name} has no effect: another value gives the same parameters",
        )
    return f"{len(p.names)} hyperparameters change the result"
