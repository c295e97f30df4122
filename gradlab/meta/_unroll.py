"""Training as one differentiable function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from gradlab.core import Params
from gradlab.meta import _checkpointed_scan
from gradlab.meta._arguments import checked_count
from gradlab.meta._training_step import start, step_count, training_step


class Unrolled(NamedTuple):
    """What training ended with.

    Attributes:
      params: the parameters after the last step.
      state: the optimizer's state after the last step.
      losses: the loss before every step, of shape `[steps]`.
      aux: what `loss_fn` gave beside the loss, with a leading axis of steps; None without.
    """

    params: Any
    state: Any
    losses: jax.Array
    aux: Any


def unroll(
    opt: optax.GradientTransformation,
    loss_fn: Callable[..., Any],
    params: Params,
    batches: Any = None,
    *,
    steps: int | None = None,
    state: Any = None,
    memory: str | int = "plain",
    truncation: int | None = None,
    has_aux: bool = False,
    key: jax.Array | None = None,
) -> Unrolled:
    r"""Trains for a number of steps, as a function that can be differentiated in everything.

    TODO

    Example:
      >>> import gradlab as gl, jax, jax.numpy as jnp
      >>> def loss_after_training(opt):
      ...     run = gl.meta.unroll(opt, lambda x, _: x**2, jnp.array(3.0), steps=2)
      ...     return run.params**2
      >>> grad = jax.grad(loss_after_training)(gl.sgd(0.25))
      >>> float(grad.learning_rate)
      -9.0
    """
    steps = step_count(batches, steps, "unroll")
    opt, params, state = start(opt, params, state, "unroll")
    step = training_step(loss_fn, has_aux, key)
    xs = (jnp.arange(steps), jax.tree.map(jnp.asarray, batches))
    carry, before = (params, state), None
    kept = steps if truncation is None else checked_count("unroll", "truncation", truncation)
    if kept > steps:
        raise ValueError(f"unroll: truncation={kept} is more than the {steps} steps there are")
    if kept < steps:
        frozen = lax.stop_gradient((opt, carry, jax.tree.map(lambda x: x[: steps - kept], xs)))
        plain = _checkpointed_scan.Plan(steps, False)
        carry, before = _checkpointed_scan.scan(step, *frozen, steps - kept, plain)
        carry = lax.stop_gradient(carry)
        xs = jax.tree.map(lambda x: x[steps - kept :], xs)
    plan = _checkpointed_scan.plan_for(memory, step, opt, carry, xs, kept, "unroll")
    (params, state), found = _checkpointed_scan.scan(step, opt, carry, xs, kept, plan)
    if before is not None:
        found = jax.tree.map(lambda x, y: jnp.concatenate([x, y]), before, found)
    return Unrolled(params, state, *found)
