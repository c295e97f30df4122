"""Evolution strategies: the gradient of a smoothed outer loss, without differentiating."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
from jax import lax

from gradlab import core
from gradlab.core import Scalar
from gradlab.meta._evolution import Estimate, Strategy, checked, estimate_of_descent, real_tree


class EvolutionStrategiesState(NamedTuple):
    """State of `evolution_strategies`.

    Attributes:
      count: steps taken of the present inner problems.
      inner_state: their states under the unperturbed theta, with a leading axis of draws.
    """

    count: jax.Array
    inner_state: Any


class EvolutionStrategies(Strategy):
    """Perturbs theta anew in each unroll, from states that the unperturbed theta reached."""

    def init(self, problem: Any, theta: Any, key: jax.Array) -> EvolutionStrategiesState:
        """The state before the first unroll."""
        checked(self.owner(), problem)
        theta = real_tree(self.owner(), theta)
        fresh = jax.vmap(problem.init, (None, 0))(theta, jax.random.split(key, self.draws))
        return EvolutionStrategiesState(core.step_count(), fresh)

    def estimate(
        self, problem: Any, theta: Any, state: Any, key: jax.Array
    ) -> tuple[Estimate, EvolutionStrategiesState]:
        """The gradient estimate of one unroll, and the state after it."""
        theta = real_tree(self.owner(), theta)
        start, noise_key, data = jax.random.split(key, 3)
        noise = self.perturbations(theta, noise_key)
        both, starts = self.perturbed(theta, noise), jax.random.split(start, self.draws)

        def fresh() -> Any:
            return jax.vmap(problem.init)(both, self.evaluations(starts))

        # A new inner problem may depend on theta from its first state on.
        inner = lax.cond(state.count == 0, fresh, lambda: self.evaluations(state.inner_state))
        keys = jax.random.split(data, self.draws)
        _, losses = self.unroll(problem, both, inner, self.evaluations(keys))
        count = self.advanced(state.count)
        after = state.inner_state
        if self.length < self.steps:
            still = jax.tree.map(lambda x, e: x + 0 * e, theta, noise)
            before = lax.cond(
                state.count == 0,
                lambda: jax.vmap(problem.init)(still, starts),
                lambda: state.inner_state,
            )
            after, _ = self.unroll(problem, still, before, keys)
        found = Estimate(self.weighted(noise, losses), losses.mean())
        return found, EvolutionStrategiesState(count, core.keep_dtypes(after, state.inner_state))


@core.builds(EvolutionStrategies)
def evolution_strategies(
    std: Scalar = 0.1,
    pairs: int = 8,
    *,
    steps: int,
    truncation: int | None = None,
    antithetic: bool = True,
):
    r"""Estimates an outer gradient from losses at perturbed theta, through any computation.

    $$\hat g = \frac{1}{2N\sigma^2}\sum_{i=1}^{N} \epsilon_i
    \left(L(\theta + \epsilon_i) - L(\theta - \epsilon_i)\right),\quad
    \epsilon_i \sim \mathcal N(0, \sigma^2)$$

    It is unbiased for the gradient of the loss smoothed with that noise, which stays finite
    where a long, chaotic unroll has no useful gradient. L is the sum of the losses of one
    unroll. Truncated, the unroll starts from where the unperturbed theta led, as if that did
    not depend on theta: cheap, and biased to what pays off soon.

        strategy = gl.meta.evolution_strategies(0.1, pairs=8, steps=100)
        state = strategy.init(problem, theta, key)
        (gradient, loss), state = strategy.estimate(problem, theta, state, key)

    Args:
      std: standard deviation σ of the noise [units of theta], in (0, inf).
      pairs: pairs of evaluations, N, at least 1; each pair has an inner problem of its own,
        of which both see the same randomness. All are one vmapped program.
      steps: length of an inner problem [steps], at least 1.
      truncation: length of an unroll [steps], a divisor of `steps`. None: all of them.
      antithetic: whether each noise is tried with both signs. False: 2 N independent ones.

    Returns:
      The strategy, with `init(problem, theta, key) -> state` and `estimate(problem, theta,
      state, key) -> (gradient, loss), state`; `problem` is a `gl.meta.InnerProblem`, theta any
      tree of real numbers. State: a count and N inner states (2 N without pairs).

    Raises:
      ValueError: a number outside its range; `truncation` does not divide `steps`; a loss
        that is no scalar.
      TypeError: theta holds other than real numbers; a problem without `init` and `step`.

    References:
      Vicol, Metz and Sohl-Dickstein, "Unbiased Gradient Estimation in Unrolled Computation
      Graphs with Persistent Evolution Strategies", arXiv:2112.13835v1, algorithm 1 (truncated
      ES); the authors' `es_grad` and `ESParticleChunk`.

    Differs:
      Each pair has an inner problem and data of its own; the authors' share one.

    Example:
      >>> import gradlab as gl, jax
      >>> gl.meta.evolution_strategies(0.1, 4, steps=20)
      evolution_strategies(std=0.1, pairs=4, steps=20)
    """


ENTRY = core.Entry(
    evolution_strategies,
    formula="g = sum(eps * (L(theta + eps) - L(theta - eps))) / (2 * n * std**2)",
    paper=("vicol2021unbiased",),
    # On a quadratic, estimates from pairs are the same for every deviation.
    example={"std": 1.0, "pairs": 16, "steps": 24, "antithetic": False},
    search_space={"std": (1e-3, 1.0, "log")},
    traits=core.Traits(stochastic=True),
    estimate=estimate_of_descent,
)
