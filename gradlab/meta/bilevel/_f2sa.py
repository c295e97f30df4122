"""F2SA: bilevel optimization from first derivatives alone, under a growing penalty."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import Scalar, ScalarOrSchedule, hyper
from gradlab.meta.bilevel._calculus import combine, descend
from gradlab.meta.bilevel._method import ScheduledScalar
from gradlab.meta.bilevel._problem import Batches, BilevelProblem
from gradlab.meta.bilevel._value_gap import (
    Recursion,
    ValueGapMethod,
    outer_gradients,
    remember,
    start_recursion,
    track,
)


class F2SAState(NamedTuple):
    """The variables, the inner solution without the outer objective, and the penalty."""

    count: jax.Array
    x: Any
    y: Any
    z: Any
    penalty: jax.Array
    recursion: Recursion | None


class F2SA(ValueGapMethod):
    """Steps along the gradient of the outer objective plus a penalty on the inner gap."""

    learning_rate: ScheduledScalar = hyper("[0, inf)")
    inner_learning_rate: ScheduledScalar = hyper("[0, inf)")
    penalized_learning_rate: ScheduledScalar | None = hyper("[0, inf)")
    penalty: Scalar = hyper("(0, inf)")
    penalty_growth: ScheduledScalar = hyper("[0, inf)")

    def start(self, problem: BilevelProblem, x: Any, y: Any, batches: Batches) -> F2SAState:
        penalty = jnp.asarray(self.penalty, core.compute_dtype(*jax.tree.leaves(y)))
        recursion = None if self.b1 is None else start_recursion(x, y)
        return F2SAState(core.step_count(), x, y, jax.tree.map(jnp.copy, y), penalty, recursion)

    def advance(
        self, problem: BilevelProblem, state: F2SAState, batches: Batches, key: Any
    ) -> F2SAState:
        weight, rate = state.penalty, self.penalized_learning_rate
        if rate is None:
            rate = self.inner_learning_rate / (2 * weight)

        def move(y: Any, z: Any, gradients: tuple) -> tuple[Any, Any]:
            gz, fy, gy = gradients
            y = problem.into_inner(descend(y, rate, combine((1.0, fy), (weight, gy))))
            return y, problem.into_inner(descend(z, self.inner_learning_rate, gz))

        y, z, inner = track(problem, state, batches, self.b1, self.inner_steps, move)
        outer = outer_gradients(problem, state, batches.at(self.inner_steps), self.b1, y, z)
        fx, gxy, gxz = outer
        direction = combine((1.0, fx), (weight, gxy), (-weight, gxz))
        x = problem.into_outer(descend(state.x, self.learning_rate, direction))
        return F2SAState(
            state.count, x, y, z, weight + self.penalty_growth, remember(state, inner, outer)
        )


@core.builds(F2SA)
def f2sa(
    learning_rate: ScalarOrSchedule,
    inner_learning_rate: ScalarOrSchedule,
    penalized_learning_rate: ScalarOrSchedule | None = None,
    penalty: Scalar = 1.0,
    penalty_growth: ScalarOrSchedule = 0.1,
    b1: Scalar | None = None,
    *,
    inner_steps: int = 1,
):
    r"""F2SA follows the gradient of the outer objective plus a growing penalty on the inner gap.

    $$\begin{aligned}
    z &\leftarrow z - \gamma_k \nabla_y g(x, z), \quad
    y \leftarrow y - \alpha_k (\nabla_y f(x, y) + \lambda_k \nabla_y g(x, y))
    \quad (T \text{ times}), \\
    x &\leftarrow x - \eta_k (\nabla_x f(x, y)
    + \lambda_k (\nabla_x g(x, y) - \nabla_x g(x, z))), \quad
    \lambda_{k+1} = \lambda_k + \delta_k
    \end{aligned}$$

    No second derivative is taken. The hypergradient is off by a multiple of $1 / \lambda_k$,
    which is why the penalty grows.

    Args:
      learning_rate: $\eta_k$, of the outer variables, in [0, inf), or a schedule.
      inner_learning_rate: $\gamma_k$, of the inner solution, in [0, inf), or a schedule.
      penalized_learning_rate: $\alpha_k$, of the penalised solution, in [0, inf), or a
        schedule. None: $\gamma_k / (2 \lambda_k)$, with which both solutions move alike.
      penalty: $\lambda_0$, in (0, inf).
      penalty_growth: $\delta_k$, in [0, inf), or a schedule.
      b1: the share of the old average that recursive averages of the six gradients keep, in
        [0, 1): the momentum-assisted method (F3SA), with twice the gradients. None: gradients as
        they are.
      inner_steps: $T$, at least 1; with `b1`, exactly 1.

    Returns:
      The method. Its state holds x, y, one more tree like y, and the penalty; with `b1`, also
      four more like x and five more like y.

    Raises:
      TypeError: a value of the wrong kind.
      ValueError: a number outside its range, or several inner steps with `b1`.

    References:
      Kwon, Kwon, Wright and Nowak, "A Fully First-Order Method for Stochastic Bilevel
      Optimization", ICML 2023, arXiv:2301.10945v1: F2SA, and with `b1` its momentum-assisted
      form.

    Differs:
      The outer step size is one number, in place of $\xi \alpha_k$. Outer and inner variables
      may be projected. All inner steps see one batch unless they are given one each.

    Example:
      >>> import jax, gradlab as gl
      >>> problem = gl.meta.BilevelProblem(
      ...     outer=lambda x, y, batch: (y - 1.0) ** 2, inner=lambda x, y, batch: (y - 2 * x) ** 2
      ... )
      >>> method = gl.meta.f2sa(0.05, 0.2)
      >>> state, step = method.init(problem, 0.0, 0.0), jax.jit(method.step)
      >>> for _ in range(300):
      ...     state = step(problem, state)
      >>> round(float(state.x), 2)
      0.5
    """


ENTRY = core.Entry(
    f2sa,
    formula="x -= lr * (f_x + lam * (g_x(x, y) - g_x(x, z))), y near min f + lam * g, z near min g",
    paper=("M019",),
    example={
        "learning_rate": 0.02,
        "inner_learning_rate": 0.5,
        "penalty": 2.0,
        "penalty_growth": 0.004,
        "b1": 0.5,
    },
    search_space={"learning_rate": (1e-4, 1.0, "log"), "inner_learning_rate": (1e-3, 1.0, "log")},
)
