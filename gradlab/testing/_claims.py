"""Promises that an entry chooses to make: each claim is shown, each denial is necessary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr

from gradlab import core
from gradlab.testing._failure import require
from gradlab.testing._subject import OBJECTIVES, Subject, compiled_once, flat, problem_params, step


def check_elementwise(subject: Subject) -> str:
    """Each coordinate is updated from its own gradient alone, or else it is not claimed."""
    params = problem_params()
    gradients = subject.gradients(params)
    _, state = step(subject, gradients, subject.opt.init(params), params)
    zeros = jax.tree.map(lambda p: jnp.zeros(p.shape, bool), params)

    def others(gradients: Any, place: tuple[int, int]) -> np.ndarray:
        kernel = zeros["hidden"]["kernel"].at[place].set(True)
        own = flat({**zeros, "hidden": {**zeros["hidden"], "kernel": kernel}})
        return np.array(flat(step(subject, gradients, state, params)[0]))[~np.array(own)]

    # Of a large weight and of a small one; more, nothing, and so much that it is the largest:
    # a rank changes with some of them.
    kernel, spread = gradients["hidden"]["kernel"], 0.0
    for place in ((0, 0), (2, 2)):
        entry, before = kernel.at[(..., *place)], others(gradients, place)
        tries = [entry.add(2.0), entry.set(0.0), entry.set(1e3)]
        if subject.stacked:  # of one objective alone, which is then no longer chosen
            tries += [kernel.at[(i, *place)].set(1e3) for i in range(OBJECTIVES)]
        for new in tries:
            changed = {**gradients, "hidden": {**gradients["hidden"], "kernel": new}}
            spread = max(spread, float(np.max(np.abs(others(changed, place) - before))))
    if subject.traits.elementwise:
        require(
            spread == 0, "it claims to be elementwise, but one gradient moves other coordinates"
        )
        return "one coordinate moves alone"
    require(spread > 0, "it denies being elementwise, but no coordinate feels another's gradient")
    return "coordinates feel each other"


def check_smooth(subject: Subject) -> str:
    """Updates have no kink or jump along lines of gradients, or else one is documented."""
    with jax.enable_x64(True):
        found = _roughness(subject)
    return smoothness(subject.traits, found)


def smoothness(traits: core.Traits, found: str) -> str:
    """Whether what is said of kinks and jumps is so, for the one that was found, if any."""
    if traits.smooth:
        require(not found, f"it claims to be smooth, but there is a kink or jump: {found}")
        require(not traits.kinks, "it claims to be smooth and yet documents kinks")
        return "no kink on the lines tried"
    require(traits.kinks, "it denies being smooth without saying where it is not")
    require(found, "it denies being smooth, but no kink or jump was found")
    return found


GRID = np.arange(-1.5, 1.5, 1e-3) + 1e-7


def _roughness(subject: Subject) -> str:
    """Where an update is not smooth on lines of gradients, in words; empty if nowhere.

    The update is that of a second step, after a first one has filled the state.
    """
    params = problem_params(jnp.float64)
    gradients = subject.gradients(params)
    extra = subject.required_extra(params)

    def second(point: Any) -> jax.Array:
        _, state = subject.opt.update(gradients, subject.opt.init(params), params, **extra)
        return flat(subject.opt.update(point, state, params, **extra)[0])

    return roughness(second, gradients, subject.stacked)


def roughness(function: Callable[[Any], jax.Array], tree: Any, stacked: bool = False) -> str:
    """Where a function of such trees is not smooth along some lines, in words.

    At a kink the central second difference shrinks like the step, at a jump not at all;
    where the function is smooth it shrinks like the square.
    """

    @compiled_once
    def along(offset: Any, slope: Any) -> jax.Array:
        def at(t: jax.Array) -> jax.Array:
            return function(jax.tree.map(lambda a, b: a + t * b, offset, slope))

        return jax.vmap(at)(jnp.asarray(GRID))

    for name, (offset, slope) in _lines(tree, stacked).items():
        values = np.asarray(along(offset, slope))
        fine, coarse = (_second_difference(values, stride).max(0) for stride in (1, 2))
        worst = np.argmax(fine)
        ratio = coarse[worst] / max(fine[worst], 1e-300)
        if fine[worst] > 1e-9 and ratio < 3:
            return (
                f"on {name}, halving the step divides the second difference by {ratio:.2f}, not 4"
            )
    return ""


def _second_difference(values: np.ndarray, stride: int) -> np.ndarray:
    return np.abs(values[2 * stride :] - 2 * values[stride:-stride] + values[: -2 * stride])


def _lines(tree: Any, stacked: bool) -> dict[str, tuple[Any, Any]]:
    """Lines of trees, as offset and slope."""
    zero = jax.tree.map(jnp.zeros_like, tree)
    turning = jax.tree.map(lambda g: g * jnp.cos(7.0 * jnp.arange(g.size)).reshape(g.shape), tree)
    found = {
        "a line through zero": (zero, tree),
        "a line that turns": (tree, turning),
    }
    if stacked:  # conflicts come and go
        others = jax.tree.map(lambda g: jnp.roll(g, 1, axis=0), tree)
        found["a line on which each gradient meets another"] = (tree, others)
    return found


def check_stochastic(subject: Subject) -> str:
    """Random numbers come from a key in the state, or else there are none.

    What rounds at random does so for narrow parameters only, so both kinds are tried.
    """
    narrow = subject.opt.init(problem_params(jnp.bfloat16))
    if not subject.traits.stochastic:
        states = (narrow, subject.opt.init(problem_params()))
        keys = any(x.dtype == jnp.uint32 for x in jax.tree.leaves(states))
        require(not keys, "it denies being stochastic, but its state holds a key")
        return "deterministic"
    params = problem_params()
    state = subject.opt.init(params)
    if not any(x.dtype == jnp.uint32 for x in jax.tree.leaves(state)):
        params, state = problem_params(jnp.bfloat16), narrow
    keys = [x for x in jax.tree.leaves(state) if x.dtype == jnp.uint32]
    require(bool(keys), "it claims to be stochastic, but its state holds no raw uint32 key")
    gradients = subject.gradients(params)

    def update(state: Any) -> np.ndarray:
        return np.array(flat(step(subject, gradients, state, params)[0]))

    require(np.array_equal(update(state), update(state)), "the same key gives other updates")
    # A discrete draw, of an order say, may come out the same for two keys.
    for _ in range(PATIENCE):
        others = [jax.tree.map(partial(_nudged, i=i), state) for i in range(1, 9)]
        if any(not np.array_equal(update(state), update(other)) for other in others):
            return "the key decides"
        # What draws now and then may not do so in the first steps.
        _, state = step(subject, gradients, state, params)
    require(False, "the key in the state has no effect")
    return ""


PATIENCE = 4


def _nudged(x: jax.Array, i: int) -> jax.Array:
    return x + i if x.dtype == jnp.uint32 else x


def check_gradient_evaluations(subject: Subject) -> str:
    """A step evaluates the gradient as often as declared, on average over a period."""
    expected = Fraction(subject.traits.gradient_evaluations).limit_denominator(100)
    calls = _evaluations_traced(subject) if expected.denominator == 1 else None
    if calls is None:
        calls = _evaluations_run(subject, expected.denominator)
    found = f"{calls / expected.denominator:g}"
    require(
        calls == expected.numerator,
        f"a step takes {found} gradient evaluations, declared are {float(expected):g}",
    )
    return f"{found} a step"


def _evaluations_traced(subject: Subject) -> int | None:
    """Gradients that a step asks for, with the one that it is given; None where it depends."""
    params = problem_params()

    def counted(p: Any) -> Any:
        jax.debug.callback(lambda: None)  # leaves a mark in the program
        return subject.gradients(p)

    def step(params: Any) -> Any:
        extra = subject.extra(params, counted)
        state = subject.opt.init(params)
        return subject.opt.update(subject.gradients(params), state, params, **extra)

    try:
        return 1 + _marks(jax.make_jaxpr(step)(params).jaxpr)
    except _Conditional:
        return None


class _Conditional(Exception):
    """A mark in a part of a program that may run or not."""


def _marks(program: Any) -> int:
    """How often a program comes by a mark: as often as its loops turn."""
    total = 0
    for line in program.eqns:
        name = line.primitive.name
        total += name == "debug_callback"
        values = jax.tree.leaves(line.params, is_leaf=_is_program)
        inside = sum(_marks(getattr(x, "jaxpr", x)) for x in values if _is_program(x))
        if inside and name in ("cond", "while"):
            raise _Conditional
        total += inside * (line.params["length"] if name == "scan" else 1)
    return total


def _is_program(x: Any) -> bool:
    return isinstance(x, Jaxpr | ClosedJaxpr)


def _evaluations_run(subject: Subject, steps: int) -> int:
    """The same for steps that differ: gradients that are computed, not those traced."""
    params = problem_params()
    calls = steps

    def count() -> None:
        nonlocal calls
        calls += 1

    def counted(p: Any) -> Any:
        jax.debug.callback(count)
        return subject.gradients(p)

    extra = subject.extra(params, counted)

    def body(state: Any, _: Any) -> tuple[Any, None]:
        return subject.opt.update(subject.gradients(params), state, params, **extra)[1], None

    run = compiled_once(lambda state: jax.lax.scan(body, state, None, length=steps)[0])
    jax.block_until_ready(run(subject.opt.init(params)))
    jax.effects_barrier()
    return calls


def check_conditionals(subject: Subject) -> str:
    """Work that is done only now and then is still skipped under vmap over a stack."""
    params = problem_params()
    gradients = subject.gradients(params)
    extra = subject.required_extra(params)

    def one(opt: Any) -> Any:
        return opt.update(gradients, opt.init(params), params, **extra)

    several = jax.vmap(one, axis_size=2)
    single = _conditionals(jax.make_jaxpr(one)(subject.opt).jaxpr)
    mapped = _conditionals(jax.make_jaxpr(several)(core.stack([subject.opt] * 2)).jaxpr)
    require(mapped >= single, f"{single - mapped} of {single} conditionals are lost under vmap")
    return f"{single} conditionals"


def _conditionals(program: Any) -> int:
    """How many conditionals a program has, but for those in loops that run until something holds.

    What is computed in such a loop decides how it goes on, for each optimizer of a stack by
    itself.
    """
    total = 0
    for line in program.eqns:
        if line.primitive.name == "while":
            continue
        total += line.primitive.name == "cond"
        values = jax.tree.leaves(line.params, is_leaf=_is_program)
        total += sum(_conditionals(getattr(x, "jaxpr", x)) for x in values if _is_program(x))
    return total


def key_decides(found: Sequence[np.ndarray], claimed: bool, what: str) -> str:
    """The claim to be stochastic, against what two equal keys and another one gave.

    Args:
      found: what came of a key, of the same key, and of another one.
      claimed: whether the method says that it is stochastic.
      what: what comes of a key, for messages.

    Returns:
      What was seen.
    """
    one, same, other = found
    require(np.array_equal(one, same), f"the same key gives another {what}")
    varies = not np.array_equal(one, other)
    word = "claims" if claimed else "denies"
    effect = "has an" if varies else "has no"
    require(varies == claimed, f"it {word} being stochastic, but the key {effect} effect")
    return "the key decides" if varies else "deterministic"
