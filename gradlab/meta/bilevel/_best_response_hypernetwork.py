"""Best-response hypernetworks: a linear map from outer variables to trained inner ones."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from gradlab import core
from gradlab.core import Scalar, Transform, hyper, static
from gradlab.meta.bilevel._calculus import combine, repeat
from gradlab.meta.bilevel._method import BilevelMethod
from gradlab.meta.bilevel._problem import Batches, BilevelProblem
from gradlab.optimizers.momentum import sgd


class Hypernetwork(NamedTuple):
    """An affine map: `base` has the shape of y, `weights` one more axis, of outer variables."""

    base: Any
    weights: Any


class HypernetworkState(NamedTuple):
    """The variables, the map, where outer variables are sampled around, and optimizers' states."""

    count: jax.Array
    x: Any
    y: Any
    response: Hypernetwork
    center: Any
    outer_state: Any
    inner_state: Any


class BestResponseHypernetwork(BilevelMethod):
    """Trains the map on sampled outer variables, and the outer variables through the map."""

    needs = ("key",)
    outer_optimizer: Transform = hyper()
    inner_optimizer: Transform = hyper()
    scale: Scalar = hyper("(0, inf)")
    inner_steps: int = static(convert=core.count_at_least(1))
    samples: int = static(convert=core.count_at_least(1))
    local: bool = static(convert=core.flag)

    def start(self, problem: BilevelProblem, x: Any, y: Any, batches: Batches) -> HypernetworkState:
        size = ravel_pytree(x)[0].size
        weights = jax.tree.map(lambda leaf: jnp.zeros((*leaf.shape, size), leaf.dtype), y)
        response = Hypernetwork(jax.tree.map(jnp.copy, y), weights)
        states = self.outer_optimizer.init(x), self.inner_optimizer.init(response)
        return HypernetworkState(
            core.step_count(), x, y, response, jax.tree.map(jnp.copy, x), *states
        )

    def advance(
        self, problem: BilevelProblem, state: HypernetworkState, batches: Batches, key: Any
    ) -> HypernetworkState:
        center = state.x if self.local else state.center

        def body(t: Any, carry: Any) -> Any:
            response, inner_state = carry
            keys = jax.random.split(jax.random.fold_in(key, t), self.samples)
            batch = batches.at(t).inner

            def loss(response: Hypernetwork) -> Any:
                def one(key: Any) -> Any:
                    x = self._near(key, center)
                    return problem.inner(x, respond(response, x), batch)

                return jnp.mean(jax.vmap(one)(keys))

            updates, inner_state = self.inner_optimizer.update(
                jax.grad(loss)(response), inner_state, response
            )
            return optax.apply_updates(response, updates), inner_state

        response, inner_state = repeat(self.inner_steps, body, (state.response, state.inner_state))
        last = batches.at(self.inner_steps).outer
        gradient = jax.grad(lambda x: problem.outer(x, respond(response, x), last))(state.x)
        updates, outer_state = self.outer_optimizer.update(gradient, state.outer_state, state.x)
        x = problem.into_outer(optax.apply_updates(state.x, updates))
        return HypernetworkState(
            state.count, x, respond(response, x), response, state.center, outer_state, inner_state
        )

    def _near(self, key: Any, center: Any) -> Any:
        flat, unravel = ravel_pytree(center)
        return combine((1.0, center), (self.scale, unravel(jax.random.normal(key, flat.shape))))


def respond(response: Hypernetwork, x: Any) -> Any:
    """The inner variables that the map answers to outer ones."""
    flat = ravel_pytree(x)[0]

    def leaf(base: jax.Array, weights: jax.Array) -> jax.Array:
        return base + (weights @ flat.astype(weights.dtype)).astype(base.dtype)

    return jax.tree.map(leaf, response.base, response.weights)


@core.builds(BestResponseHypernetwork)
def best_response_hypernetwork(
    outer_optimizer: Transform,
    inner_optimizer: Transform,
    scale: Scalar = 0.1,
    *,
    inner_steps: int = 1,
    samples: int = 1,
    local: bool = True,
):
    r"""A best-response hypernetwork learns how trained inner variables depend on the outer ones.

    $$\begin{aligned}
    \hat{x} &= c + s \, \varepsilon, \quad \varepsilon \sim N(0, 1), \quad
    \phi \leftarrow \phi - \text{update}(\nabla_\phi \, g(\hat{x}, y_\phi(\hat{x}))), \quad
    y_\phi(x) = y_0 + W x, \\
    x &\leftarrow x - \text{update}(\nabla_x \, f(x, y_\phi(x)))
    \end{aligned}$$

    Neither a solution nor a second derivative of the inner problem is needed: the outer
    gradient flows through the map. The map is as wide as outer times inner variables.

    Args:
      outer_optimizer: any optimizer, for x.
      inner_optimizer: any optimizer, for the map $\phi = (y_0, W)$.
      scale: $s$, the spread of the sampled outer variables, in (0, inf).
      inner_steps: of the map for each outer step, at least 1.
      samples: of outer variables in each inner step, at least 1.
      local: whether outer variables are sampled around where they are ($c = x$), or around
        where they began.

    Returns:
      The method. Its state holds x twice, y twice, as many numbers as x times y, and the states
      of both optimizers; `state.y` is the map's answer to `state.x`.

    Raises:
      TypeError: a value of the wrong kind; a step without `key`.
      ValueError: a number outside its range.

    References:
      Lorraine and Duvenaud, "Stochastic Hyperparameter Optimization through Hypernetworks",
      arXiv:1802.09419v2: joint training, local and global, with a linear hypernetwork.
      Lorraine, "Scalable Nested Optimization for Deep Learning", thesis.

    Differs:
      The paper's global variant trains the map to its end before the outer variables; here both
      move in every step. Inner projections are not applied.

    Example:
      >>> import jax, gradlab as gl
      >>> problem = gl.meta.BilevelProblem(
      ...     outer=lambda x, y, batch: (y - 1.0) ** 2, inner=lambda x, y, batch: (y - 2 * x) ** 2
      ... )
      >>> method = gl.meta.best_response_hypernetwork(gl.sgd(0.02), gl.sgd(0.2), 1.0, samples=8)
      >>> state, step = method.init(problem, 0.0, 0.0), jax.jit(method.step)
      >>> for key in jax.random.split(jax.random.key(0), 300):
      ...     state = step(problem, state, None, key)
      >>> round(float(state.x), 2)
      0.5
    """


ENTRY = core.Entry(
    best_response_hypernetwork,
    formula="phi -= update(g at (x + s * eps, y_phi)); x -= update(f at (x, y_phi(x)))",
    paper=(
        "M123",
        "lorraine2018hypernetworks",
    ),
    example={"outer_optimizer": sgd(0.02), "inner_optimizer": sgd(0.1), "scale": 0.5, "samples": 2},
    search_space={"scale": (1e-3, 1.0, "log")},
    needs=("key",),
    traits=core.Traits(stochastic=True),
)
