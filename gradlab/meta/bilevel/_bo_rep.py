"""BO-REP: normalised momentum above, a refined start and periodic updates below."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gradlab import core
from gradlab.core import Scalar, ScalarOrSchedule, hyper, static
from gradlab.meta.bilevel._calculus import (
    combine,
    descend,
    grad_inner,
    hypergradient_at,
    in_ball,
    scaled,
    zeros_like,
)
from gradlab.meta.bilevel._method import BilevelMethod, ScheduledScalar
from gradlab.meta.bilevel._problem import Batches, BilevelProblem


class BORepState(NamedTuple):
    """The variables, and the average of hypergradients."""

    count: jax.Array
    x: Any
    y: Any
    mu: Any


class BORep(BilevelMethod):
    """Steps of one length along an average of hypergradients."""

    learning_rate: ScheduledScalar = hyper("[0, inf)")
    inner_learning_rate: Scalar = hyper("[0, inf)")
    b1: Scalar = hyper("[0, 1)")
    neumann_rate: Scalar = hyper("(0, inf)")
    radius: Scalar = hyper("(0, inf)")
    refine_radius: Scalar = hyper("(0, inf)")
    inner_steps: int = static(convert=core.count_at_least(1))
    period: int = static(convert=core.count_at_least(1))
    neumann_terms: int = static(convert=core.count_at_least(1))
    refine_epochs: int = static(convert=core.count_at_least(0))
    refine_steps: int = static(convert=core.count_at_least(1))

    def start(self, problem: BilevelProblem, x: Any, y: Any, batches: Batches) -> BORepState:
        rate, radius, batch = self.inner_learning_rate, self.refine_radius, batches.at(0).inner
        for epoch in range(self.refine_epochs):  # Epoch-SGD
            steps = self.refine_steps * 2**epoch
            y = _averaged_descent(problem, x, y, rate, radius, steps, lambda t: batch)
            rate, radius = rate / 2, radius / 2**0.5
        return BORepState(core.step_count(), x, y, zeros_like(x))

    def advance(
        self, problem: BilevelProblem, state: BORepState, batches: Batches, key: Any
    ) -> BORepState:
        count, x, y, mu = state
        rate, radius, steps = self.inner_learning_rate, self.radius, self.inner_steps

        def update(y: Any) -> Any:
            def batch(t: Any) -> Any:
                return batches.at(t).inner

            return _averaged_descent(problem, x, y, rate, radius, steps, batch)

        due = (count > 0) & (count % self.period == 0)  # the start is refined already
        y = lax.cond(due, update, lambda y: y, y)
        last = batches.at(steps)
        gradient = hypergradient_at(
            problem, x, y, last, "neumann",
            learning_rate=self.neumann_rate, steps=self.neumann_terms - 1,
        )  # fmt: skip
        mu = combine((self.b1, mu), (1 - self.b1, gradient))
        unit = scaled(core.divide(1.0, core.global_norm(mu)), mu)
        return BORepState(count, problem.into_outer(descend(x, self.learning_rate, unit)), y, mu)


def _averaged_descent(
    problem: BilevelProblem, x: Any, y: Any, rate: Any, radius: Any, steps: int, batch: Any
) -> Any:
    """The average of SGD's points, which stay in a ball around the first one."""

    def body(t: Any, carry: Any) -> Any:
        point, mean = carry
        point = descend(point, rate, grad_inner(problem.inner, x, point, batch(t)))
        point = problem.into_inner(in_ball(point, radius, y))
        share = 1.0 / (jnp.asarray(t, jnp.int32) + 1)
        return point, combine((1 - share, mean), (share, point))

    return lax.fori_loop(0, steps, body, (y, y))[1]


@core.builds(BORep)
def bo_rep(
    learning_rate: ScalarOrSchedule,
    inner_learning_rate: Scalar,
    b1: Scalar = 0.9,
    neumann_rate: Scalar = 0.1,
    radius: Scalar = 1.0,
    refine_radius: Scalar = 10.0,
    *,
    inner_steps: int = 3,
    period: int = 2,
    neumann_terms: int = 10,
    refine_epochs: int = 3,
    refine_steps: int = 10,
):
    r"""BO-REP takes steps of one length, so that an outer gradient without a bound does no harm.

    $$\begin{aligned}
    y &\leftarrow \text{average of } N \text{ steps }
    w \leftarrow \Pi_{B(y, R)}(w - \alpha \nabla_y g(x, w))
    \quad \text{at every } I\text{-th step after the first}, \\
    \hat{h} &= \nabla_x f - \nabla^2_{xy} g \, \frac{1}{l} \sum_{q < Q}
    \Bigl(I - \frac{1}{l} \nabla^2_{yy} g\Bigr)^q \nabla_y f, \\
    m &\leftarrow \beta m + (1 - \beta) \hat{h}, \quad
    x \leftarrow x - \eta \, m / \lVert m \rVert
    \end{aligned}$$

    `init` refines the inner variables by epochs of SGD, each twice as long as the one before,
    with half its step size, in a ball around its average that is smaller by $\sqrt{2}$.

    Args:
      learning_rate: $\eta$, the length of an outer step, in [0, inf), or a schedule.
      inner_learning_rate: $\alpha$, in [0, inf); also of the first epoch of refinement.
      b1: $\beta$, in [0, 1).
      neumann_rate: $1 / l$, at most one over the inner problem's largest curvature, in (0, inf).
      radius: $R$, in (0, inf).
      refine_radius: of the first epoch's ball, in (0, inf).
      inner_steps: $N$, at least 1.
      period: $I$, at least 1.
      neumann_terms: $Q$, at least 1.
      refine_epochs: of the refined start, at least 0.
      refine_steps: of the first epoch, at least 1.

    Returns:
      The method. Its state holds x, y and one more tree like x.

    Raises:
      TypeError: a value of the wrong kind.
      ValueError: a number outside its range.

    References:
      Hao, Gong and Liu, "Bilevel Optimization under Unbounded Smoothness: A New Algorithm and
      Convergence Analysis", ICLR 2024, arXiv:2401.09587, with the code of the authors
      (MingruiLiu-ML-Lab/Bilevel-Optimization-under-Unbounded-Smoothness). Epochs: Hazan and
      Kale, "Beyond the Regret Minimization Barrier", JMLR 2014.

    Differs:
      The Neumann sum is the paper's analysis, with every term on one batch; the authors' program
      tracks the product by one step of its own instead, and its inner steps are plain SGD, with
      neither average nor ball. Averages weigh points alike. The boxes of the paper's algorithms
      were not at hand to compare line by line.

    Example:
      >>> import jax, gradlab as gl
      >>> problem = gl.meta.BilevelProblem(
      ...     outer=lambda x, y, batch: (y - 1.0) ** 4, inner=lambda x, y, batch: (y - 2 * x) ** 2
      ... )
      >>> method = gl.meta.bo_rep(0.01, 0.2, neumann_rate=0.4)
      >>> state, step = method.init(problem, 0.0, 0.0), jax.jit(method.step)
      >>> for _ in range(200):
      ...     state = step(problem, state)
      >>> round(float(state.x), 1)
      0.5
    """


ENTRY = core.Entry(
    bo_rep,
    formula="m = b1 * m + (1 - b1) * hypergradient; x -= lr * m / |m|; y: SGD now and then",
    paper=("M126",),
    example={
        "learning_rate": 0.005,
        "inner_learning_rate": 0.5,
        "neumann_rate": 0.7,
        "radius": 0.05,
        "refine_radius": 0.5,
    },
    search_space={"learning_rate": (1e-4, 1.0, "log"), "inner_learning_rate": (1e-3, 1.0, "log")},
)
