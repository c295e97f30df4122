"""Persistent evolution strategies: truncated unrolls without the bias of truncation."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gradlab import core
from gradlab.core import Scalar
from gradlab.meta._evolution import Estimate, Strategy, checked, estimate_of_descent, real_tree


class PersistentEvolutionStrategiesState(NamedTuple):
    """State of `persistent_evolution_strategies`.

    Attributes:
      count: steps taken of the present inner problems.
      inner_state: their states, each under its own perturbations, with a leading axis.
      perturbation: the sum of the perturbations of each since its inner problem began.
    """

    count: jax.Array
    inner_state: Any
    perturbation: Any


class PersistentEvolutionStrategies(Strategy):
    """Weighs the losses of an unroll by all perturbations that led to it."""

    def init(self, problem: Any, theta: Any, key: jax.Array) -> PersistentEvolutionStrategiesState:
        """The state before the first unroll."""
        checked(self.owner(), problem)
        theta = real_tree(self.owner(), theta)
        keys = self.evaluations(jax.random.split(key, self.draws))
        fresh = jax.vmap(problem.init, (None, 0))(theta, keys)
        zero = jax.tree.map(lambda x: jnp.zeros((self.draws, *x.shape), x.dtype), theta)
        return PersistentEvolutionStrategiesState(core.step_count(), fresh, zero)

    def estimate(
        self, problem: Any, theta: Any, state: Any, key: jax.Array
    ) -> tuple[Estimate, PersistentEvolutionStrategiesState]:
        """The gradient estimate of one unroll, and the state after it."""
        theta = real_tree(self.owner(), theta)
        start, noise_key, data = jax.random.split(key, 3)
        noise = self.perturbations(theta, noise_key)
        both = self.perturbed(theta, noise)

        def fresh() -> Any:
            starts = self.evaluations(jax.random.split(start, self.draws))
            return jax.vmap(problem.init)(both, starts), noise

        def going_on() -> Any:
            total = jax.tree.map(jnp.add, state.perturbation, noise)
            return state.inner_state, total

        inner, perturbation = lax.cond(state.count == 0, fresh, going_on)
        keys = self.evaluations(jax.random.split(data, self.draws))
        inner, losses = self.unroll(problem, both, inner, keys)
        found = Estimate(self.weighted(perturbation, losses), losses.mean())
        inner = core.keep_dtypes(inner, state.inner_state)
        count = self.advanced(state.count)
        return found, PersistentEvolutionStrategiesState(count, inner, perturbation)


@core.builds(PersistentEvolutionStrategies)
def persistent_evolution_strategies(
    std: Scalar = 0.1,
    pairs: int = 8,
    *,
    steps: int,
    truncation: int,
    antithetic: bool = True,
):
    r"""Estimates an outer gradient from short unrolls, unbiased for the whole of them.

    $$\xi_i \leftarrow \xi_i + \epsilon_i,\quad \hat g = \frac{1}{2N\sigma^2}
    \sum_{i=1}^{N} \xi_i \left(L(s_i^+, \theta + \epsilon_i) - L(s_i^-, \theta - \epsilon_i)
    \right),\quad \epsilon_i \sim \mathcal N(0, \sigma^2)$$

    Each perturbed inner problem goes on from where its perturbations led; ξ, their sum since
    it began, gives the losses of an unroll to all that caused them. At the end of an inner
    problem the states start anew and ξ at zero. L is the sum of the losses of one unroll, so
    that the estimates of one inner problem, with theta at rest, add up to an unbiased estimate
    of the gradient of its smoothed total loss. The variance grows with the number of unrolls.

        strategy = gl.meta.persistent_evolution_strategies(0.1, pairs=8, steps=100, truncation=10)
        state = strategy.init(problem, theta, key)
        (gradient, loss), state = strategy.estimate(problem, theta, state, key)

    Args:
      std: standard deviation σ of the noise [units of theta], in (0, inf).
      pairs: pairs of evaluations, N, at least 1; each pair has an inner problem of its own,
        of which both see the same randomness. All are one vmapped program.
      steps: length of an inner problem [steps], at least 1.
      truncation: length of an unroll [steps], a divisor of `steps`. With all steps it is
        `evolution_strategies`.
      antithetic: whether each noise is tried with both signs. False: 2 N independent ones.

    Returns:
      The strategy, with `init(problem, theta, key) -> state` and `estimate(problem, theta,
      state, key) -> (gradient, loss), state`; `problem` is a `gl.meta.InnerProblem`, theta any
      tree of real numbers. State: a count, 2 N inner states and N × theta (2 N without pairs).

    Raises:
      ValueError: a number outside its range; `truncation` does not divide `steps`; a loss
        that is no scalar.
      TypeError: theta holds other than real numbers; a problem without `init` and `step`.

    References:
      Vicol, Metz and Sohl-Dickstein, "Unbiased Gradient Estimation in Unrolled Computation
      Graphs with Persistent Evolution Strategies", arXiv:2112.13835v1, algorithm 2; the
      authors' `pes_grad` and `PESParticleChunk`.

    Differs:
      Each pair has an inner problem and data of its own, as in the authors' later
      `learned_optimization`; in the paper's code all share one. A new inner problem starts
      from the perturbed theta, so that initial states may depend on it, too.

    Example:
      >>> import gradlab as gl, jax
      >>> gl.meta.persistent_evolution_strategies(0.1, 4, steps=20, truncation=5)
      persistent_evolution_strategies(std=0.1, pairs=4, steps=20, truncation=5)
    """


ENTRY = core.Entry(
    persistent_evolution_strategies,
    formula="xi += eps; g = sum(xi * (L(s+, theta + eps) - L(s-, theta - eps))) / (2 * n * std**2)",
    paper=("vicol2021unbiased", "M246"),
    # On a quadratic, estimates from pairs are the same for every deviation.
    example={"std": 1.0, "pairs": 16, "steps": 24, "truncation": 8, "antithetic": False},
    search_space={"std": (1e-3, 1.0, "log")},
    traits=core.Traits(stochastic=True),
    estimate=estimate_of_descent,
)
