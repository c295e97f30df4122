"""What evolution strategies share: the inner problem, perturbations, unrolls, weighted sums."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax
from jax import lax

from gradlab import core
from gradlab.core import Scalar, hyper, static


class InnerProblem(Protocol):
    """A computation that is unrolled step by step, such as a training run.

    Both methods are pure functions of jax arrays; `theta` is any tree of real numbers, an
    optimizer for instance.
    """

    def init(self, theta: Any, key: jax.Array) -> Any:
        """The state before the first step."""
        ...

    def step(self, theta: Any, state: Any, key: jax.Array) -> tuple[Any, jax.Array]:
        """One step: the next state, and this step's share of the outer loss."""
        ...


@dataclasses.dataclass(frozen=True)
class TrainingProblem:
    """The training of parameters by an optimizer that depends on `theta`.

    Attributes:
      params: key -> initial parameters.
      loss: (params, batch) -> scalar.
      batch: key -> batch.
      optimizer: theta -> optimizer. By default theta is one.
      outer: (params, key) -> the outer loss of a step, of the parameters after it. None: the
        loss of the batch, before it.

    Example:
      >>> import gradlab as gl, jax, jax.numpy as jnp
      >>> problem = gl.meta.TrainingProblem(
      ...     params=lambda key: jnp.array(2.0),
      ...     loss=lambda params, batch: params**2,
      ...     batch=lambda key: (),
      ... )
      >>> key, opt = jax.random.key(0), gl.sgd(0.25)
      >>> state, loss = problem.step(opt, problem.init(opt, key), key)
      >>> float(loss), float(state.params)
      (4.0, 1.0)
    """

    params: Callable[[jax.Array], Any]
    loss: Callable[[Any, Any], jax.Array]
    batch: Callable[[jax.Array], Any]
    optimizer: Callable[[Any], Any] = lambda theta: theta
    outer: Callable[[Any, jax.Array], jax.Array] | None = None

    def init(self, theta: Any, key: jax.Array) -> TrainingState:
        params = self.params(key)
        return TrainingState(params, self.optimizer(theta).init(params))

    def step(self, theta: Any, state: Any, key: jax.Array) -> tuple[TrainingState, jax.Array]:
        batch_key, outer_key = jax.random.split(key)
        batch = self.batch(batch_key)
        loss, gradient = jax.value_and_grad(self.loss)(state.params, batch)
        updates, inner = self.optimizer(theta).update(gradient, state.state, state.params)
        params = optax.apply_updates(state.params, updates)
        if self.outer is not None:
            loss = self.outer(params, outer_key)
        return TrainingState(params, inner), loss


class TrainingState(NamedTuple):
    """The state of a `TrainingProblem`.

    Attributes:
      params: the parameters that are trained.
      state: the optimizer's.
    """

    params: Any
    state: Any


class Estimate(NamedTuple):
    """An estimate of an outer gradient.

    Attributes:
      gradient: a tree like theta.
      loss: the outer loss of this unroll, a sum over its steps; the mean over perturbations.
    """

    gradient: Any
    loss: jax.Array


class Strategy(core.Data):
    """What evolution strategies have in common: how they perturb, and for how long."""

    std: Scalar = hyper("(0, inf)")
    pairs: int = static(convert=core.count_at_least(1))
    steps: int = static(convert=core.count_at_least(1))
    truncation: int | None = static(convert=core.optional(core.count_at_least(1)))
    antithetic: bool = static(convert=core.flag)

    def present(self) -> Any:
        assert self.length  # which refuses a length that does not fit
        return self

    @property
    def length(self) -> int:
        """The steps of one unroll.

        Raises:
          ValueError: they do not divide those of an inner problem.
        """
        length = self.truncation or self.steps
        if self.steps % length:
            raise ValueError(
                f"{self.owner()}: truncation={length} does not divide steps={self.steps}"
            )
        return length

    @property
    def draws(self) -> int:
        """Perturbations that are drawn; antithetic ones are evaluated with both signs."""
        return self.pairs if self.antithetic else 2 * self.pairs

    def perturbations(self, theta: Any, key: jax.Array) -> Any:
        """A tree like theta of normal numbers, with a leading axis of draws."""
        leaves, treedef = jax.tree.flatten(theta)
        keys = jax.random.split(key, len(leaves))
        return treedef.unflatten(
            [
                jnp.asarray(self.std, x.dtype)
                * jax.random.normal(k, (self.draws, *x.shape), x.dtype)
                for k, x in zip(keys, leaves, strict=True)
            ]
        )

    def perturbed(self, theta: Any, noise: Any) -> Any:
        """Theta with every perturbation, and where antithetic with its negative after all."""

        def leaf(x: jax.Array, e: jax.Array) -> jax.Array:
            return jnp.concatenate([x + e, x - e]) if self.antithetic else x + e

        return jax.tree.map(leaf, theta, noise)

    def evaluations(self, tree: Any) -> Any:
        """What belongs to each draw, for each evaluation: both of a pair see the same."""
        if not self.antithetic:
            return tree
        return jax.tree.map(lambda x: jnp.concatenate([x, x]), tree)

    def weighted(self, directions: Any, losses: jax.Array) -> Any:
        """The mean over evaluations of direction times loss, over the variance."""
        n = self.draws
        weights = (losses[:n] - losses[n:]) / 2 if self.antithetic else losses

        def leaf(e: jax.Array) -> jax.Array:
            mean = jnp.tensordot(weights.astype(e.dtype), e, 1) / n
            return mean / jnp.square(jnp.asarray(self.std, e.dtype))

        return jax.tree.map(leaf, directions)

    def unroll(self, problem: Any, theta: Any, state: Any, keys: jax.Array) -> tuple[Any, Any]:
        """Takes the steps of one unroll from many states at once.

        Args:
          problem: the inner problem.
          theta: a tree with a leading axis, for each state.
          state: states with a leading axis.
          keys: one for each state.

        Returns:
          The states after it, and for each the sum of losses.

        Raises:
          ValueError: a loss is no scalar.
        """

        def one(theta: Any, state: Any, key: jax.Array) -> tuple[Any, jax.Array]:
            def body(state: Any, key: jax.Array) -> tuple[Any, jax.Array]:
                return problem.step(theta, state, key)

            state, losses = lax.scan(body, state, jax.random.split(key, self.length))
            if losses.ndim != 1:
                raise ValueError(
                    f"{self.owner()}: the loss of a step has the shape {losses.shape[1:]}, "
                    "expected a scalar"
                )
            return state, jnp.sum(losses)

        return jax.vmap(one)(theta, state, keys)

    def advanced(self, count: jax.Array) -> jax.Array:
        """The number of steps taken of an inner problem, after one more unroll."""
        return (count + self.length) % self.steps


def real_tree(owner: str, theta: Any) -> Any:
    """Theta with arrays as leaves.

    Raises:
      TypeError: a leaf is not made of real numbers; its path is named.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(theta):
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
            where = jax.tree_util.keystr(path) or "the root"
            raise TypeError(
                f"{owner}: theta has {jnp.result_type(leaf)} at {where}, expected real numbers"
            )
    return core.as_arrays(theta)


def checked(owner: str, problem: Any) -> Any:
    """The inner problem.

    Raises:
      TypeError: it has no methods `init` and `step`.
    """
    for name in ("init", "step"):
        if not callable(getattr(problem, name, None)):
            raise TypeError(f"{owner}: problem={problem!r} has no method {name}")
    return problem


class _LastOfDescent:
    """Gradient steps on the inner objective of a bilevel problem; only the last state counts."""

    def __init__(self, problem: Any, steps: int) -> None:
        self.problem, self.steps = problem, steps

    def init(self, theta: Any, key: jax.Array) -> Any:
        del theta, key
        return self.problem.inner_variables(), core.step_count()

    def step(self, theta: Any, state: Any, key: jax.Array) -> tuple[Any, jax.Array]:
        del key
        y, count = state
        slope = jax.grad(self.problem.inner, argnums=1)(theta, y)
        y, count = jax.tree.map(lambda y, g: y - 0.5 * g, y, slope), count + 1
        return (y, count), self.problem.outer(theta, y) * (count == self.steps)


def estimate_of_descent(strategy: Any, problem: Any, x: Any, key: jax.Array) -> Any:
    """The hypergradient of a bilevel problem whose inner one is solved by descent.

    Args:
      strategy: made for as many steps as the inner problem takes.
      problem: with `inner`, `outer` and `inner_variables`, as `Entry.estimate` gets it.
      x: the outer variables.
      key: of all random numbers.

    Returns:
      The sum of the estimates of one run.
    """
    descent = _LastOfDescent(problem, strategy.steps)
    first, *keys = jax.random.split(key, 1 + strategy.steps // strategy.length)
    state, found = strategy.init(descent, x, first), None
    for key in keys:
        (gradient, _), state = strategy.estimate(descent, x, state, key)
        found = gradient if found is None else jax.tree.map(jnp.add, found, gradient)
    return found
