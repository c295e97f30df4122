"""What a regularizer is called with on the canonical problem."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab.testing._subject import objectives, outputs_of

KNOWN = ("state", "key", "logits", "losses", "transition", "states", "signals")
"""What a regularizer may need and the canonical problem has."""


def arguments_of(opt: Any, params: Any) -> tuple[Any, dict[str, Any]]:
    """What a regularizer is called with: the first argument, and what else it needs.

    Raises:
      TypeError: it needs what the canonical problem has not.
    """
    needs = opt.needs
    for name in needs:
        if name not in KNOWN:
            raise TypeError(f"check_regularizer cannot make the argument {name!r}: give call=")
    found: dict[str, Any] = {}
    first = params
    if "logits" in needs:
        first = outputs_of(params)
    if "losses" in needs:
        first = params["head"]
        found["losses"] = lambda head: objectives({**params, "head": head})
    if "state" in needs:
        found["state"] = opt.init(jax.tree.map(_elsewhere, params))
    if "key" in needs:
        found["key"] = jax.random.PRNGKey(0)
    if "transition" in needs:
        first, unrolled = _recurrent(params)
        found |= unrolled
    return first, found


def _recurrent(params: Any) -> tuple[Any, dict[str, Any]]:
    """A small recurrent network: its transition, states, and error signals."""
    own = {"W": params["embed"][:, :3], "b": params["hidden"]["bias"] * 0.01}

    def transition(own: Any, x: jax.Array) -> jax.Array:
        return own["W"] @ jnp.tanh(x) + own["b"]

    def error(nudges: jax.Array) -> tuple[jax.Array, jax.Array]:
        def step(x: jax.Array, nudge: jax.Array) -> tuple[jax.Array, jax.Array]:
            return (transition(own, x) + nudge).astype(x.dtype), x

        start = jnp.linspace(-1.0, 1.0, 3).astype(nudges.dtype)
        last, states = jax.lax.scan(step, start, nudges)
        return jnp.sum(jnp.square(last - 1)), states

    nudges = jnp.zeros((4, 3), own["W"].dtype)
    signals, states = jax.grad(error, has_aux=True)(nudges)
    return own, {"transition": transition, "states": states, "signals": signals}


def _elsewhere(p: Any) -> jax.Array:
    """Other parameters of this shape, in eighths, so that every dtype can hold them."""
    return (jnp.round(8 * jnp.cos(3.0 * places(p).real)) / 8).astype(jnp.result_type(p))


def places(x: jax.Array) -> jax.Array:
    """The number of each entry, in the shape and dtype of an array."""
    return jnp.arange(x.size, dtype=x.dtype).reshape(x.shape)
