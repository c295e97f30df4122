"""Penalised bilevel optimization on convex sets, where the inner problem need not be convex."""

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


class PenaltyBilevelState(NamedTuple):
    """The variables, and the inner solution without the outer objective."""

    count: jax.Array
    x: Any
    y: Any
    z: Any
    recursion: Recursion | None


class PenaltyBilevel(ValueGapMethod):
    """Projected steps on the inner objective plus a small share of the outer one."""

    learning_rate: ScheduledScalar = hyper("[0, inf)")
    inner_learning_rate: ScheduledScalar = hyper("[0, inf)")
    penalty: ScheduledScalar = hyper("(0, inf)")
    proximity: ScheduledScalar = hyper("[0, inf)")
    mixing: ScheduledScalar = hyper("(0, 1]")

    def start(
        self, problem: BilevelProblem, x: Any, y: Any, batches: Batches
    ) -> PenaltyBilevelState:
        recursion = None if self.b1 is None else start_recursion(x, y)
        return PenaltyBilevelState(core.step_count(), x, y, jax.tree.map(jnp.copy, y), recursion)

    def advance(
        self, problem: BilevelProblem, state: PenaltyBilevelState, batches: Batches, key: Any
    ) -> PenaltyBilevelState:
        rate, near, sigma = self.inner_learning_rate, self.proximity, self.penalty

        def nearby(point: Any, center: Any, *gradient: tuple[Any, Any]) -> Any:
            pull = combine(*gradient, (near, point), (-near, center))
            return problem.into_inner(descend(point, rate, pull))

        def move(y: Any, z: Any, gradients: tuple) -> tuple[Any, Any]:
            gz, fy, gy = gradients
            return nearby(y, state.y, (sigma, fy), (1.0, gy)), nearby(z, state.z, (1.0, gz))

        y, z, inner = track(problem, state, batches, self.b1, self.inner_steps, move)
        y, z = (
            combine((1 - self.mixing, old), (self.mixing, new))
            for old, new in ((state.y, y), (state.z, z))
        )
        outer = outer_gradients(problem, state, batches.at(self.inner_steps), self.b1, y, z)
        fx, gxy, gxz = outer
        direction = combine((1.0, fx), (1 / sigma, gxy), (-1 / sigma, gxz))
        x = problem.into_outer(descend(state.x, self.learning_rate, direction))
        return PenaltyBilevelState(state.count, x, y, z, remember(state, inner, outer))


@core.builds(PenaltyBilevel)
def penalty_bilevel(
    learning_rate: ScalarOrSchedule,
    inner_learning_rate: ScalarOrSchedule,
    penalty: ScalarOrSchedule = 0.1,
    proximity: ScalarOrSchedule = 0.0,
    mixing: ScalarOrSchedule = 1.0,
    b1: Scalar | None = None,
    *,
    inner_steps: int = 1,
):
    r"""Penalised bilevel optimization follows the gradient of the gap that a small penalty opens.

    $$\begin{aligned}
    w &\leftarrow \Pi_Y(w - \gamma (\nabla_y g(x, w) + \rho (w - z))), \quad
    u \leftarrow \Pi_Y(u - \gamma (\sigma \nabla_y f(x, u) + \nabla_y g(x, u) + \rho (u - y)))
    \quad (T \text{ times, from } w = z,\; u = y), \\
    z &\leftarrow (1 - \beta) z + \beta w, \quad y \leftarrow (1 - \beta) y + \beta u, \\
    x &\leftarrow \Pi_X(x - \eta (\nabla_x f(x, y)
    + (\nabla_x g(x, y) - \nabla_x g(x, z)) / \sigma))
    \end{aligned}$$

    The last bracket is the gradient of
    $\psi_\sigma(x) = \min_y (f + g / \sigma) - \min_z g / \sigma$, which is within a multiple of
    $\sigma$ of the hypergradient also where the inner problem has several solutions. The pull
    $\rho$ towards the last solutions makes inner problems easy that are not convex.

    Args:
      learning_rate: $\eta$, of the outer variables, in [0, inf), or a schedule.
      inner_learning_rate: $\gamma$, of both inner solutions, in [0, inf), or a schedule.
      penalty: $\sigma$, in (0, inf), or a schedule that decays.
      proximity: $\rho$, in [0, inf), or a schedule. 0: plain projected gradients.
      mixing: $\beta$, how far the solutions go to where the inner steps end, in (0, 1], or a
        schedule.
      b1: the share of the old average that recursive averages of the six gradients keep, in
        [0, 1): the single-loop method. None: gradients as they are.
      inner_steps: $T$, at least 1; with `b1`, exactly 1.

    Returns:
      The method. Its state holds x, y and one more tree like y; with `b1`, also four more like
      x and five more like y.

    Raises:
      TypeError: a value of the wrong kind.
      ValueError: a number outside its range, or several inner steps with `b1`.

    References:
      Kwon, Kwon, Wright and Nowak, "On Penalty Methods for Nonconvex Bilevel Optimization and
      First-Order Stochastic Approximation", ICLR 2024, arXiv:2309.01753: the double-loop method,
      and with `b1` the fully single-loop one.

    Differs:
      The formula above is what is computed; the paper's algorithm boxes were not at hand to
      compare line by line. Proximity and mixing are constants or schedules of the caller's, not
      the ones of the theorems. All inner steps see one batch unless they are given one each.

    Example:
      >>> import jax, jax.numpy as jnp, gradlab as gl
      >>> problem = gl.meta.BilevelProblem(
      ...     outer=lambda x, y, batch: (y - 1.0) ** 2,
      ...     inner=lambda x, y, batch: (y - 2 * x) ** 2,
      ...     project_outer=lambda x: jnp.clip(x, 0.0, 0.25),
      ... )
      >>> method = gl.meta.penalty_bilevel(0.01, 0.2)
      >>> state, step = method.init(problem, 0.0, 0.0), jax.jit(method.step)
      >>> for _ in range(300):
      ...     state = step(problem, state)
      >>> float(state.x)
      0.25
    """


ENTRY = core.Entry(
    penalty_bilevel,
    formula="x = P(x - lr * (f_x + (g_x(x, y) - g_x(x, z)) / s)), y near min s f + g, z near min g",
    paper=("M127",),
    example={
        "learning_rate": 0.01,
        "inner_learning_rate": 0.5,
        "penalty": 0.05,
        "proximity": 0.1,
        "mixing": 0.9,
        "inner_steps": 3,
    },
    search_space={"learning_rate": (1e-4, 1.0, "log"), "penalty": (1e-3, 1.0, "log")},
)
