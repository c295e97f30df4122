"""Recurrent steps: how they change the length of error signals that travel back in time."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradlab import core


def squared_ratios(
    transition: Callable[..., Any], params: Any, states: jax.Array, signals: jax.Array, inputs: Any
) -> jax.Array:
    """The squared length of each signal after one step back, over that before it.

    Args:
      transition: one step of one example, `transition(params, x, u)` or, without inputs,
        `transition(params, x)`.
      params: its parameters.
      states: before each step, of shape (steps, ..., units).
      signals: after each step, of the same shape.
      inputs: a tree of arrays (steps, ..., features), or None.

    Returns:
      An array of shape (steps, ...); zero where a signal is zero.
    """

    def ratio(state: jax.Array, signal: jax.Array, given: Any) -> jax.Array:
        # First by the largest entry: the squares of a short signal would be zero.
        signal = core.divide(signal, lax.stop_gradient(jnp.max(jnp.abs(signal))))
        direction = core.divide(signal, core.norm(signal))
        arguments = () if given is None else (given,)
        new, pull = jax.vjp(lambda x: transition(params, x, *arguments), state)
        return jnp.sum(core.abs_sq(pull(direction.astype(new.dtype))[0]))

    for _ in range(states.ndim - 1):
        ratio = jax.vmap(ratio)
    return ratio(states, signals, inputs)


def immediate(function: Callable[..., jax.Array], params: Any, *constants: Any) -> jax.Array:
    """`function(params, *constants)`, whose derivative is that by `params` alone.

    Unlike with `stop_gradient` inside of the function, that derivative itself depends on the
    constants, so that second derivatives, as in hypergradients, are those of what is descended.
    """
    converted, hoisted = jax.closure_convert(function, params, *constants)
    return _immediate(converted, (params, hoisted), *constants)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _immediate(function: Callable[..., jax.Array], params: Any, *constants: Any) -> jax.Array:
    params, hoisted = params
    return function(params, *constants, *hoisted)


@_immediate.defjvp
def _immediate_jvp(function: Callable[..., jax.Array], primals: tuple, tangents: tuple) -> tuple:
    def plain(params: Any) -> jax.Array:
        return function(params[0], *primals[1:], *params[1])

    return jax.jvp(plain, primals[:1], tangents[:1])
