"""One step of training as a function of everything that it can be differentiated in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.meta._arguments import checked_count, leading_axis

Step = Callable[[Any, tuple[Any, Any], tuple[Any, Any]], tuple[tuple[Any, Any], tuple[Any, Any]]]
"""`(opt, (params, state), (index, batch)) -> ((params, state), (loss, aux))`."""


def training_step(loss_fn: Callable[..., Any], has_aux: bool, key: jax.Array | None) -> Step:
    """The step of a training loop, with every extra argument that an optimizer may ask for.

    Args:
      loss_fn: `loss_fn(params, batch)`, a scalar, or a pair of it and anything else.
      has_aux: whether it is a pair.
      key: what optimizers that draw random numbers draw from, another one at every step.

    Returns:
      The step.
    """

    def step(opt: Any, carry: tuple[Any, Any], now: tuple[Any, Any]) -> tuple:
        params, state = carry
        index, batch = now

        def evaluate(place: Any) -> tuple[Any, Any]:
            found = loss_fn(place, batch)
            return found if has_aux else (found, None)

        (value, aux), grad = jax.value_and_grad(evaluate, has_aux=True)(params)
        extra = {
            "value": value,
            "grad": grad,
            "value_fn": lambda place: evaluate(place)[0],
            "grad_fn": lambda place: jax.grad(evaluate, has_aux=True)(place)[0],
        }
        if key is not None:
            extra["key"] = jax.random.fold_in(key, index)
        updates, state = opt.update(grad, state, params, **extra)
        return (optax.apply_updates(params, updates), state), (value, aux)

    return step


def start(opt: Any, params: Any, state: Any, owner: str) -> tuple[Any, Any, Any]:
    """The optimizer as data, the parameters as arrays, and the state to begin with."""
    opt = core.adopt_transform(opt, owner)
    params = jax.tree.map(jnp.asarray, params)
    return opt, params, opt.init(params) if state is None else jax.tree.map(jnp.asarray, state)


def step_count(batches: Any, steps: int | None, owner: str) -> int:
    """How many steps the batches are for, which have to agree with `steps` where that is given."""
    if steps is not None:
        steps = checked_count(owner, "steps", steps)
    return leading_axis(owner, "batches", batches, steps, "steps")
