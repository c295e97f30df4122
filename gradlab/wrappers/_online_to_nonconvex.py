"""Online learning of the increments, for losses that are neither smooth nor convex."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import Params, ScalarOrSchedule, Updates, hyper, static
from gradlab.optimizers.momentum import sgd
from gradlab.wrappers._displaced import moved


class OnlineToNonconvexState(NamedTuple):
    """State of `online_to_nonconvex`.

    Attributes:
      count: steps so far.
      inner_state: that of the online learner.
      key: the random key, as raw words.
      share: which part of the increment the parameters have gone.
      increment: what the online learner chose.
      mean: of the parameters that gradients of this epoch were taken at.
    """

    count: Any
    inner_state: Any
    key: Any
    share: Any
    increment: Any
    mean: Any


class OnlineToNonconvex(core.Wrapper):
    """Moves by increments that the inner optimizer learns online, inside of a ball."""

    radius: ScalarOrSchedule = hyper("[0, inf)")
    every: int = static(convert=core.count_at_least(1))
    key: int | tuple[int, ...] | None = static(convert=core.seed_or_words)

    def init(self, params: Params) -> OnlineToNonconvexState:
        increment = core.moments_like(params)
        mean = jax.tree.map(lambda x, p: x + p, core.moments_like(params), params)
        inner_state, key = self.inner.rule.init(increment), core.initial_key(self.key)
        share = jnp.zeros([], jnp.float32)
        return OnlineToNonconvexState(core.step_count(), inner_state, key, share, increment, mean)

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, OnlineToNonconvexState]:
        params, part = self.needed(params), state.count % self.every
        now = self.with_values(radius=core.at(self.radius, state.count))

        def at_the_gradient(h: Any, g: Any, mean: Any, p: Any) -> tuple:
            weight = (part + 1).astype(g.real.dtype)
            return g, jnp.where(part == 0, p, mean + (p - mean) / weight)

        gradients, mean = self.each(at_the_gradient, updates, state.mean, reads=(params,))
        steps, inner_state = self.inner.rule.update(
            gradients,
            state.inner_state,
            state.increment,
            **self.of_increments(state, params, extra),
        )
        (chosen,) = self.each(lambda h, u, d: d + u, steps, reads=(state.increment,))
        size, last = core.global_norm(chosen), part == self.every - 1
        key, sample = jax.random.split(state.key)
        share = jax.random.uniform(core.fusible(sample), dtype=jnp.float32)

        def leaf(h: Any, d: Any, old: Any) -> tuple:
            length, s, after = (x.astype(d.real.dtype) for x in (size, state.share, share))
            d = jnp.where(length > h.radius, h.radius * core.divide(d, length), d)
            d = jnp.where(last, 0, d)  # the next epoch begins anew
            return (1 - s) * old + after * d, d

        moves, increment = now.each(leaf, chosen, state.increment)
        fresh = self.inner.rule.init(jax.tree.map(jnp.zeros_like, increment))
        inner_state = jax.tree.map(
            lambda a, b, old: jnp.where(last, a, b).astype(old.dtype),
            fresh,
            inner_state,
            state.inner_state,
        )
        count = optax.safe_increment(state.count)
        return moves, OnlineToNonconvexState(count, inner_state, key, share, increment, mean)

    def of_increments(self, state: Any, params: Params, extra: dict[str, Any]) -> dict[str, Any]:
        """Extra arguments whose functions take increments, not parameters."""
        gone = jax.tree.map(lambda d: -state.share.astype(d.real.dtype) * d, state.increment)
        origin = moved(params, gone)

        def shifted(function: Any) -> Any:
            return lambda increment, *args: function(moved(origin, increment), *args)

        functions = {name: extra.get(name) for name in ("value_fn", "grad_fn")}
        return extra | {name: shifted(f) for name, f in functions.items() if f is not None}

    def eval_params(self, state: Any, params: Params) -> Params:
        return jax.tree.map(lambda x, p: jnp.asarray(x, p.dtype), state.mean, params)

    def schedule_counts(self, state: Any) -> dict[str, Any]:
        return {"radius": state.count}


@core.builds(OnlineToNonconvex)
def online_to_nonconvex(
    inner: optax.GradientTransformation,
    radius: ScalarOrSchedule = 0.01,
    every: int = 100,
    *,
    key: jax.Array | int | tuple[int, ...],
):
    r"""Finds nearly stationary points of losses that are neither smooth nor convex.

    $$\Delta_{n+1} = \Pi_{\lVert\Delta\rVert \le D}\big(\Delta_n + \mathrm{inner}(\nabla
    L(w_n))\big),\quad x_n = x_{n-1} + \Delta_n,\quad w_n = x_{n-1} + s_n \Delta_n,\quad
    s_n \sim U[0, 1]$$

    The inner optimizer is an online learner of the increment Δ, kept in a ball and restarted
    after every T steps. Gradients are taken at a random point of each increment: on average
    the change of the loss is then exactly their inner product with the increment, smooth or
    not. The points w of an epoch lie within δ = D T of each other, and the mean of their
    gradients, not a single one, tends to zero.

    The parameters that are trained are w, so that a step costs one gradient and the training
    loop stays as it is. `gl.eval_params(opt, state, params)` gives the mean of the w whose
    gradients this epoch has seen: after a multiple of T steps that of the whole epoch, which
    is the result.

    Args:
      inner: the online learner. It is handed gradients and, as parameters, the increment.
        The paper's is gradient descent: `sgd(D / (G * T**0.5))` for gradients of size G.
      radius: the most D that an increment may be [norm of the parameters], in [0, inf), or a
        schedule of the steps.
      every: number T of steps in an epoch, at least 1.
      key: a random key, or a seed, for the s. It decides the state's first key and so is no
        hyperparameter.

    Returns:
      The optimizer. State: that of `inner`, 2 × params, a number, a key and a count.

    Raises:
      TypeError: `inner` is no transformation, or the key is traced.
      ValueError: a hyperparameter outside its range, or no parameters.

    References:
      Cutkosky, Mehta and Orabona, "Optimal Stochastic Non-smooth Non-convex Optimization
      through Online-to-Non-convex Conversion", arXiv:2302.03775v2, Algorithm 1 with projected
      online gradient descent, restarted.

    Differs:
      The learner is any optimizer, projected. The paper returns the mean of a random epoch.

    Example:
      >>> import gradlab as gl
      >>> gl.online_to_nonconvex(gl.sgd(0.001), radius=0.01, every=50, key=0)
      online_to_nonconvex(inner=sgd(learning_rate=0.001), radius=0.01, every=50, key=0)
    """


ENTRY = core.Entry(
    online_to_nonconvex,
    formula="d = ball(d + inner(g), radius); p moves along d, to a random part of it",
    paper=("M072",),
    example={"inner": sgd(0.002), "radius": 0.02, "every": 5, "key": 0},
    search_space={"radius": (1e-4, 1.0, "log"), "learning_rate": (1e-4, 1.0, "log")},
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="Where the increment meets the ball; there the derivative is that inside.",
        stochastic=True,
    ),
)
