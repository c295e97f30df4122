"""Training as one differentiable function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from gradlab import core
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

    $$(\theta_{t+1}, s_{t+1}) = (\theta_t + u_t, s_{t+1}), \quad
    (u_t, s_{t+1}) = \mathrm{opt}(\nabla_\theta \ell(\theta_t; b_t), s_t, \theta_t)$$

    One `lax.scan`. `jax.grad(lambda opt: outer(gl.meta.unroll(opt, …).params))(opt)` is the
    hypergradient, shaped like the optimizer: a number for each hyperparameter, those of schedules
    included. `jax.grad` in `params`, in `batches` (weights of examples, augmentation, learned
    data) and in what `loss_fn` closes over works alike, in reverse and in forward mode.

    Reverse mode stores what the derivative of every step reads. `memory` says how much of it, and
    what is computed again instead; the derivative is the same.

    ==============  =============================================  ===========================
    memory          stored                                         computed again
    ==============  =============================================  ===========================
    `"plain"`       n steps' intermediate results                  nothing
    `"segments"`    about √n carries, √n steps' intermediates      every step once
    `"steps"`       n carries, one step's intermediates            every step once
    a whole number  at most so many bytes                          as little as that allows
    ==============  =============================================  ===========================

    A carry is parameters and state. The bytes are those of arrays that wait for the way back,
    counted from shapes before anything is compiled, for one lane under `vmap`; the program needs
    what a single step needs besides. Where n has no divisor near √n the last segment is shorter,
    which takes one more copy of the step in the program and a copy of the batches: batches of keys
    or row numbers, from which `loss_fn` takes its examples, are small ones.

    `truncation=k` lets derivatives flow through the last k steps only: what came before is run
    without them, at no memory, as if its result had been given. `truncation=1` is the one-step
    estimate: the direct dependence of the last step. It is biased, and has no part that grows with
    the length of training; `low_variance_truncation` averages it over draws of the last step.

    Args:
      opt: the optimizer: a gradlab transform, or one of optax, in whose hyperparameters there is
        no derivative unless they are closed over. `update` is given `value`, `grad`, `value_fn`,
        `grad_fn` and, with a key, `key`.
      loss_fn: `loss_fn(params, batch)`, a scalar; with `has_aux` a pair of it and a tree of arrays.
      params: the initial parameters, of any dtypes.
      batches: a tree of arrays with a leading axis of steps, one entry for each step. None: every
        step is given None.
      steps: how many steps to make, at least 1; with batches it may be left out.
      state: the optimizer's state to go on with. None: `opt.init(params)`.
      memory: what to store for reverse differentiation, see above.
      truncation: differentiate the last so many steps, in [1, steps]. None: all.
      has_aux: whether `loss_fn` returns a pair.
      key: what optimizers that draw random numbers draw from, another one at every step.

    Returns:
      The parameters and the state after the last step, and the losses of all steps, each before
      its step.

    Raises:
      TypeError: `opt` is no gradient transformation, or `memory` or a count is no whole number.
      ValueError: batches and steps do not agree (the message names the path), the truncation is
        longer than the run, `memory` is an unknown word, or it is fewer bytes than the least that
        is possible (the message says how many that are).

    References:
      Griewank, Achieving logarithmic growth of temporal and spatial complexity in reverse
      automatic differentiation, Optimization Methods and Software 1 (1992): storing some states
      and computing the steps between them again. Chen, Xu, Zhang, Guestrin, Training Deep Nets
      with Sublinear Memory Cost, arXiv:1604.06174: segments of √n. Clark, Vicol, Swersky, Fleet,
      Directly Fine-Tuning Diffusion Models on Differentiable Rewards, arXiv:2309.17400v2: DRaFT-K,
      truncation to the last K steps, of sampling there.

    Differs:
      Two levels of segments, and no logarithmic schedule: every step is computed at most twice
      again, and the program holds one copy of it.

    Example:
      >>> import gradlab as gl, jax, jax.numpy as jnp
      >>> def loss_after_training(opt):
      ...     run = gl.meta.unroll(opt, lambda x, _: x**2, jnp.array(3.0), steps=2)
      ...     return run.params**2
      >>> jax.grad(loss_after_training)(gl.sgd(0.25)).learning_rate.item()
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
        first = jax.tree.map(lambda x: x[: steps - kept], xs)
        fixed, carry, first = lax.stop_gradient((opt, carry, first))
        everything = _checkpointed_scan.Plan(steps, False)
        carry, before = _checkpointed_scan.scan(step, fixed, carry, first, steps - kept, everything)
        carry = lax.stop_gradient(carry)
        xs = jax.tree.map(lambda x: x[steps - kept :], xs)
    plan = _checkpointed_scan.plan_for(memory, step, opt, carry, xs, kept, "unroll")
    (params, state), found = _checkpointed_scan.scan(step, opt, carry, xs, kept, plan)
    if before is not None:
        found = jax.tree.map(lambda x, y: jnp.concatenate([x, y]), before, found)
    return Unrolled(params, state, *found)


def _estimate(method: Any, problem: Any, x: Any, key: jax.Array) -> Any:
    del key

    def outer(x: Any) -> jax.Array:
        start = problem.inner_variables()
        run = method(optax.sgd(0.5), lambda y, _: problem.inner(x, y), start)
        return problem.outer(x, run.params)

    return jax.grad(outer)(x)


ENTRY = core.Entry(
    unroll,
    formula="(theta, s) <- (theta + u, s'), (u, s') = opt(grad loss(theta; b_t), s, theta)",
    paper=("griewank1992achieving", "chen2016training", "M244"),
    example={"steps": 100, "memory": "segments"},
    estimate=_estimate,
)
