"""Curves of optax's optimistic methods."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import optax

from .case import Arrays, Case
from .optax_curves import drive

BETAS = {"b1": 0.8, "b2": 0.95}


def _state(link: int, *fields: str) -> dict[str, Callable[[Any], Any]]:
    """Fields of the state of one link of the chain."""
    return {name: lambda state, name=name: getattr(state[link], name) for name in fields}


def _run(make: Callable[[], Any], states: dict[str, Any]) -> tuple[str, Arrays]:
    with warnings.catch_warnings():  # one of the functions has a successor
        warnings.simplefilter("ignore", DeprecationWarning)
        return drive(make, states=states)


def _case(function: Callable, settings: dict, states: dict, variant: str = "") -> Case:
    run = partial(_run, partial(function, **settings), states)
    name = function.__name__
    return Case("optax", name, f"optax.{name}", settings, run, variant=variant)


def cases() -> list[Case]:
    previous = _state(0, "previous_gradient")
    adam = {**_state(0, "mu", "nu"), **_state(1, "previous_gradient")}
    weights = {"learning_rate": 0.01, "alpha": 0.7, "beta": 1.5}
    plain = {"learning_rate": 0.01, **BETAS, "nesterov": False}
    rates = {"learning_rate": 0.01, "optimism": 0.3, **BETAS, "eps_root": 1e-6}
    descent, v2 = optax.optimistic_gradient_descent, optax.optimistic_adam_v2
    return [
        _case(descent, {"learning_rate": 0.01}, previous),
        _case(descent, weights, previous, "weighted"),
        _case(optax.optimistic_adam, rates, adam),
        _case(optax.optimistic_adam, plain, adam, "plain"),
        _case(v2, {**weights, **BETAS, "eps_root": 1e-6}, adam),
        _case(v2, plain, adam, "plain"),
    ]
