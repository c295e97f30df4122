"""Meta-gradients of several horizons, mixed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from gradlab import core
from gradlab.core import Params
from gradlab.meta._arguments import leading_axis
from gradlab.meta._training_step import start, step_count, training_step


class MixedHorizons(NamedTuple):
    """Outer losses of several horizons, and where training has come to.

    Attributes:
      value: their weighted sum, whose gradient is the mixed meta-gradient.
      values: the outer loss at each horizon, in the order of `horizons`.
      params: the parameters after all steps.
      state: the optimizer's state after all steps.
    """

    value: jax.Array
    values: jax.Array
    params: Any
    state: Any


def mixed_horizons(
    outer_loss: Callable[..., Any],
    opt: optax.GradientTransformation,
    loss_fn: Callable[..., Any],
    params: Params,
    batches: Any = None,
    *,
    horizons: Sequence[int],
    outer_batches: Any = None,
    weights: Any = None,
    state: Any = None,
    key: jax.Array | None = None,
) -> MixedHorizons:
    r"""Outer losses after few and after many steps, whose mixture has the mixed meta-gradient.

    $$\nabla_\lambda \sum_i w_i F\big(\theta_{h_i}(\lambda); b_i\big)$$

    After one step the outer loss shows the hyperparameters' first effect: little noise, and blind
    to what they do later. After many steps it shows more of it, through the noise of all these
    batches. All horizons begin at the same parameters and share their steps, so that a mixture
    costs as much as its longest horizon, and the outer losses. The gradient of `value` in the
    optimizer, or in what the losses close over, is the mixed meta-gradient.

    Args:
      outer_loss: `outer_loss(params, outer_batch)`, a scalar, of the parameters to evaluate with
        (`gl.eval_params`).
      opt: the optimizer: a gradlab transform, or one of optax.
      loss_fn: `loss_fn(params, batch)`, a scalar.
      params: the parameters to begin with.
      batches: a tree of arrays with a leading axis of steps, as many as the longest horizon. None:
        every step is given None.
      horizons: numbers of steps after which the outer loss is taken, each at least 1 and larger
        than the one before it.
      outer_batches: a tree of arrays with a leading axis of horizons. None: every outer loss is
        given None.
      weights: a number for each horizon, of shape `[horizons]`. None: their mean.
      state: the optimizer's state to go on with. None: `opt.init(params)`.
      key: what optimizers that draw random numbers draw from, another one at every step.

    Returns:
      The mixture, the outer losses, and parameters and state after the longest horizon, from which
      training goes on. A reverse derivative stores what `unroll` stores over that horizon.

    Raises:
      TypeError: `opt` is no gradient transformation, or a horizon is no whole number.
      ValueError: horizons do not increase, or the batches, outer batches or weights are not as many
        as that takes; the message names the path.

    References:
      Bonnet, Caron, Barrett, Davies, Laterre, One Step at a Time: Pros and Cons of Multi-Step
      Meta-Gradient Reinforcement Learning, arXiv:2111.00206v1.

    Differs:
      The paper's losses are those of reinforcement learning; here they are any. Of the paper only
      its abstract was at hand: that horizons are mixed by a weighted sum of outer losses from one
      start is a reading of it. Horizons and weights are arguments, and the weights' default, the
      same for all, is this library's.

    Example:
      >>> import gradlab as gl, jax, jax.numpy as jnp
      >>> def mixture(opt):
      ...     run = gl.meta.mixed_horizons(
      ...         lambda x, _: x**2, opt, lambda x, _: x**2, jnp.array(3.0), horizons=(1, 2)
      ...     )
      ...     return run.value, run
      >>> grad, run = jax.grad(mixture, has_aux=True)(gl.sgd(0.25))
      >>> run.values.tolist(), grad.learning_rate.item()
      ([2.25, 0.5625], -13.5)
    """
    owner = "mixed_horizons"
    horizons = _checked_horizons(horizons, owner)
    step_count(batches, horizons[-1], owner)
    leading_axis(owner, "outer_batches", outer_batches, len(horizons), "horizons")
    weights = np.full(len(horizons), 1 / len(horizons)) if weights is None else weights
    if jnp.shape(weights) != (len(horizons),):
        raise ValueError(
            f"{owner}: weights has shape {jnp.shape(weights)}; there are {len(horizons)} horizons"
        )
    opt, params, state = start(opt, params, state, owner)
    step, stride = training_step(loss_fn, False, key), int(np.gcd.reduce(horizons))
    asked = np.isin(np.arange(stride, horizons[-1] + 1, stride), horizons)
    places = np.cumsum(asked) - 1
    steps = jnp.arange(horizons[-1]), jax.tree.map(jnp.asarray, batches)
    by_stride = jax.tree.map(lambda x: x.reshape(len(asked), stride, *x.shape[1:]), steps)

    def advance(carry: Any, now: Any) -> tuple[Any, jax.Array]:
        asked, place, xs = now
        carry, _ = lax.scan(lambda carry, x: step(opt, carry, x), carry, xs)

        def outer(place: Any) -> jax.Array:
            batch = jax.tree.map(lambda x: jnp.asarray(x)[place], outer_batches)
            return outer_loss(core.eval_params(opt, carry[1], carry[0]), batch)

        nothing = jnp.zeros_like(jax.eval_shape(outer, place))
        return carry, lax.cond(asked, outer, lambda _: nothing, place)

    (params, state), values = lax.scan(advance, (params, state), (asked, places, by_stride))
    values = values[np.flatnonzero(asked)]
    return MixedHorizons(jnp.sum(values * weights), values, params, state)


def _checked_horizons(horizons: Sequence[int], owner: str) -> tuple[int, ...]:
    try:
        checked = core.increasing_steps(horizons)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{owner}: horizons: {error}") from None
    if not checked:
        raise ValueError(f"{owner}: horizons: at least one is needed")
    return checked


def _estimate(method: Any, problem: Any, x: Any, key: jax.Array) -> Any:
    del key

    def mixture(x: Any) -> jax.Array:
        return method(
            lambda y, _: problem.outer(x, y),
            optax.sgd(0.5),
            lambda y, _: problem.inner(x, y),
            problem.inner_variables(),
        ).value

    return jax.grad(mixture)(x)


ENTRY = core.Entry(
    mixed_horizons,
    formula="d/dlambda sum_i w_i F(theta_{h_i}(lambda))",
    paper=("M060",),
    example={"horizons": (2, 4, 8)},
    traits=core.Traits(biased="What hyperparameters do after the horizons is left out."),
    estimate=_estimate,
)
