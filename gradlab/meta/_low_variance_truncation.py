"""The truncation to one step, averaged over draws of that step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.flatten_util import ravel_pytree

from gradlab import core
from gradlab.core import Params
from gradlab.meta._arguments import leading_axis
from gradlab.meta._training_step import start, training_step
from gradlab.meta._unroll import Unrolled, unroll


def low_variance_truncation(
    opt: optax.GradientTransformation,
    loss_fn: Callable[..., Any],
    params: Params,
    batches: Any = None,
    *,
    draws: Any,
    steps: int | None = None,
    state: Any = None,
    has_aux: bool = False,
    key: jax.Array | None = None,
) -> Unrolled:
    r"""Trains, then takes one more step on each of several draws, and differentiates those.

    $$\hat g = \frac{1}{m} \sum_{i=1}^{m} \nabla_\lambda
    F\big(\mathrm{step}_\lambda(\bar\theta_n, \bar s_n; b_i)\big)$$

    The bar says that there is no derivative: n steps are run without one, as if parameters and
    state had been given. From there m last steps are taken side by side, each on a batch b_i of its
    own and with a key of its own. The mean of an outer loss F over the m results,
    `jnp.mean(jax.vmap(outer)(run.params))`, has the gradient above. It has the expectation of
    `unroll` with `truncation=1`, and with independent draws 1/m of its variance, for m − 1 further
    steps instead of m − 1 further runs.

    Args:
      opt: the optimizer: a gradlab transform, or one of optax.
      loss_fn: `loss_fn(params, batch)`, a scalar; with `has_aux` a pair of it and a tree of arrays.
      params: the initial parameters.
      batches: a tree of arrays with a leading axis of steps, for the steps before the last one.
      draws: a tree like one batch of `batches`, its arrays with a leading axis of draws, for the
        last step.
      steps: how many steps to make before the last one, at least 1; with batches it may be left
        out.
      state: the optimizer's state to go on with. None: `opt.init(params)`.
      has_aux: whether `loss_fn` returns a pair.
      key: what optimizers that draw random numbers draw from.

    Returns:
      Parameters and state after the last step, its losses and what `loss_fn` gave beside them, all
      with a leading axis of draws: m times the memory of one step.

    Raises:
      TypeError: `opt` is no gradient transformation.
      ValueError: batches and steps do not agree, or the arrays of `draws` do not; the message
        names the path.

    References:
      Clark, Vicol, Swersky, Fleet, Directly Fine-Tuning Diffusion Models on Differentiable
      Rewards, arXiv:2309.17400v2: DRaFT-LV.

    Differs:
      The paper differentiates a diffusion model's sampling: it makes further examples of the input
      of the last sampling step by adding noise to the finished sample again. What is random in
      the last step of training is its batch, and the parameters before it are at hand, so that
      they are used as they are and the batch is drawn again. Results are averaged instead of
      summed.

    Example:
      >>> import gradlab as gl, jax, jax.numpy as jnp
      >>> def outer(opt):
      ...     run = gl.meta.low_variance_truncation(
      ...         opt, lambda x, b: (x - b) ** 2, jnp.array(3.0), steps=1, batches=jnp.zeros(1),
      ...         draws=jnp.array([-1.0, 1.0]),
      ...     )
      ...     return jnp.mean(run.params**2)
      >>> jax.grad(outer)(gl.sgd(0.25)).learning_rate.item()
      -2.5
    """
    owner = "low_variance_truncation"
    count = leading_axis(owner, "draws", draws, None, "draws")
    opt, params, state = start(opt, params, state, owner)
    frozen = lax.stop_gradient((opt, params, batches, state))
    before = unroll(
        frozen[0], loss_fn, *frozen[1:3], steps=steps, state=frozen[3], has_aux=has_aux, key=key
    )
    carry = lax.stop_gradient((before.params, before.state))
    step = training_step(loss_fn, has_aux, key)
    numbers = before.losses.shape[0] + jnp.arange(count)
    draws = jax.tree.map(jnp.asarray, draws)
    (params, state), found = jax.vmap(step, in_axes=(None, None, 0))(opt, carry, (numbers, draws))
    return Unrolled(params, state, *found)


def _estimate(method: Any, problem: Any, x: Any, key: jax.Array) -> Any:
    """The inner objective is seen through noise in its slope, another one at every step."""
    noise = jax.random.normal(key, (13, *problem.offset.shape), problem.offset.dtype)

    def outer(x: Any) -> jax.Array:
        def inner(y: Any, noise: jax.Array) -> jax.Array:
            return problem.inner(x, y) + 0.1 * noise @ ravel_pytree(y)[0]

        run = method(optax.sgd(0.5), inner, problem.inner_variables(), noise[:9], draws=noise[9:])
        return jnp.mean(jax.vmap(lambda y: problem.outer(x, y))(run.params))

    return jax.grad(outer)(x)


ENTRY = core.Entry(
    low_variance_truncation,
    formula="1/m sum_i d/dlambda F(step_lambda(theta_n; b_i))",
    paper=("M244",),
    example={},
    traits=core.Traits(
        stochastic=True, biased="Only the last step is differentiated, not those before it."
    ),
    estimate=_estimate,
)
