"""Curves of optax's wrappers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from .case import Case
from .optax_curves import drive

RATE = 0.1
LARGEST = 1.5
SPLIT = 5


def _z(state: Any) -> jax.Array:
    return state.z


def _free(method: str, settings: dict[str, Any], make: Callable | None = None) -> Case:
    function = getattr(optax.contrib, method)
    make = partial(function, **settings) if make is None else make
    run = partial(drive, make, states={"z": _z})
    return Case("optax", method, f"optax.contrib.{method}", settings, run, atol=1e-13)


def schedule_free_cases() -> list[Case]:
    # An eighth is exact in float32, in which optax computes its warm-up.
    warm = {"learning_rate": 0.125, "warmup_steps": 8, "b1": 0.8, "weight_decay": 0.1}

    def around_sgd() -> optax.GradientTransformation:
        return optax.contrib.schedule_free(optax.sgd(RATE, momentum=0.5), RATE, b1=0.8)

    return [
        _free("schedule_free", {"learning_rate": RATE, "momentum": 0.5, "b1": 0.8}, around_sgd),
        _free("schedule_free_sgd", warm),
        _free("schedule_free_adamw", {**warm, "b2": 0.95, "eps": 1e-8}),
    ]


def _fast_of_pair(opt: optax.GradientTransformation) -> optax.GradientTransformation:
    """Steps of the fast weights, with the pair as a part of the state."""

    def init(params: jax.Array) -> tuple:
        pair = optax.LookaheadParams.init_synced(params)
        return pair, opt.init(pair)

    def update(updates: jax.Array, state: tuple, params: Any = None) -> tuple:
        pair, state = state
        steps, state = opt.update(updates, state, pair)
        moved = optax.apply_updates(pair, steps)
        return steps.fast, (moved, state)

    return optax.GradientTransformation(init, update)


def _in_two(opt: optax.GradientTransformation) -> optax.GradientTransformation:
    """The optimizer of a tree with two parts of an array."""

    def parts(x: jax.Array) -> dict[str, jax.Array]:
        return {"a": x[:SPLIT], "b": x[SPLIT:]}

    def update(updates: jax.Array, state: Any, params: Any = None) -> tuple:
        steps, state = opt.update(parts(updates), state, parts(params))
        return jnp.concatenate([steps["a"], steps["b"]]), state

    return optax.GradientTransformation(lambda p: opt.init(parts(p)), update)


def other_cases() -> list[Case]:
    adam = {"learning_rate": 0.01, "b1": 0.8, "b2": 0.95}
    ahead = {
        "learning_rate": RATE,
        "momentum": 0.9,
        "sync_period": 5,
        "slow_step_size": 0.3,
        "reset_state": False,
    }

    def lookahead() -> optax.GradientTransformation:
        return _fast_of_pair(optax.lookahead(optax.sgd(RATE, momentum=0.9), 5, 0.3))

    def micro_batches() -> Any:
        opt = optax.MultiSteps(optax.adam(**adam), 4, accumulator_dtype=jnp.float64)
        return opt.gradient_transformation()

    def finite() -> optax.GradientTransformation:
        spoil = optax.stateless(lambda g, _: jnp.where(jnp.abs(g) > LARGEST, jnp.nan, g))
        return optax.chain(spoil, optax.apply_if_finite(optax.adam(**adam), 20))

    def groups() -> optax.GradientTransformation:
        rules = {"fast": optax.sgd(RATE, momentum=0.9), "slow": optax.adam(**adam)}
        return _in_two(optax.partition(rules, {"a": "fast", "b": "slow"}))

    pair, errors = "The updates are those of the fast weights of a pair.", "notfinite_count"
    count = {errors: lambda state: getattr(state[1], errors)}
    return [
        Case(
            "optax",
            "lookahead",
            "optax.lookahead",
            ahead,
            partial(drive, lookahead),
            atol=2e-14,
            notes=(pair,),
        ),
        Case(
            "optax",
            "accumulate_gradients",
            "optax.MultiSteps",
            {**adam, "every": 4},
            partial(drive, micro_batches),
            notes=("Around adam. The mean is float64; float32 unless optax is told.",),
        ),
        Case(
            "optax",
            "apply_if_finite",
            "optax.apply_if_finite",
            {**adam, "max_consecutive_errors": 20, "largest": LARGEST},
            partial(drive, finite, states=count),
            notes=("Around adam, after coordinates above the largest were made no number.",),
        ),
        Case(
            "optax",
            "partition",
            "optax.partition",
            {**adam, "rate": RATE, "momentum": 0.9, "split": SPLIT},
            partial(drive, groups),
            notes=("Sgd for the first coordinates, as many as split says, adam for the others.",),
        ),
    ]


def cases() -> list[Case]:
    return [*schedule_free_cases(), *other_cases()]
