"""sl-BAMM: one loop over averaged objectives, for inner problems that are not strongly convex."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax

from gradlab import core
from gradlab.core import Scalar, ScalarOrSchedule, hyper
from gradlab.meta.bilevel._calculus import combine, descend, products, zeros_like
from gradlab.meta.bilevel._method import BilevelMethod, ScheduledScalar
from gradlab.meta.bilevel._problem import Batches, BilevelProblem


class SLBAMMState(NamedTuple):
    """The variables, and the multipliers of the inner problem's stationarity."""

    count: jax.Array
    x: Any
    y: Any
    multipliers: Any


class SLBAMM(BilevelMethod):
    """Joint steps of outer variables, inner variables and multipliers."""

    learning_rate: ScheduledScalar = hyper("[0, inf)")
    inner_learning_rate: ScheduledScalar = hyper("[0, inf)")
    multiplier_learning_rate: ScheduledScalar = hyper("[0, inf)")
    averaging: ScheduledScalar = hyper("[0, 1)")
    averaging_decay: Scalar = hyper("[0, 1]")

    def start(self, problem: BilevelProblem, x: Any, y: Any, batches: Batches) -> SLBAMMState:
        return SLBAMMState(core.step_count(), x, y, zeros_like(y))

    def advance(
        self, problem: BilevelProblem, state: SLBAMMState, batches: Batches, key: Any
    ) -> SLBAMMState:
        count, x, y, v = state
        mu = self.averaging * (1.0 + count) ** -self.averaging_decay

        def averaged(x: Any, y: Any, batch: Batches) -> Any:
            inner, outer = problem.inner(x, y, batch.inner), problem.outer(x, y, batch.outer)
            return mu * outer + (1 - mu) * inner

        batches = batches.at(0)
        fx, fy = jax.grad(problem.outer, argnums=(0, 1))(x, y, batches.outer)
        slope = jax.grad(averaged, argnums=1)(x, y, batches)
        cross, curvature = products(averaged, x, y, batches)(v)
        residual = combine((1.0, curvature), (-1.0, fy))
        return SLBAMMState(
            count,
            problem.into_outer(descend(x, self.learning_rate, combine((1.0, fx), (-1.0, cross)))),
            problem.into_inner(descend(y, self.inner_learning_rate, slope)),
            descend(v, self.multiplier_learning_rate, residual),
        )


@core.builds(SLBAMM)
def sl_bamm(
    learning_rate: ScalarOrSchedule,
    inner_learning_rate: ScalarOrSchedule,
    multiplier_learning_rate: ScalarOrSchedule,
    averaging: ScalarOrSchedule = 0.9,
    averaging_decay: Scalar = 0.1,
):
    r"""sl-BAMM mixes a fading share of the outer objective into the inner one, in a single loop.

    $$\begin{aligned}
    \psi_k &= \mu_k f + (1 - \mu_k) g, \quad \mu_k = \mu_0 (k + 1)^{-q}, \\
    y_{k+1} &= y_k - \beta \nabla_y \psi_k, \quad
    v_{k+1} = v_k - \eta (\nabla^2_{yy} \psi_k \, v_k - \nabla_y f), \\
    x_{k+1} &= x_k - \alpha (\nabla_x f - \nabla^2_{xy} \psi_k \, v_k),
    \quad \text{all at } (x_k, y_k)
    \end{aligned}$$

    Where the inner problem leaves directions of y undecided, the outer objective decides them,
    and gives them the curvature that the multipliers need.

    Args:
      learning_rate: $\alpha$, of the outer variables, in [0, inf), or a schedule. The theory
        has it shrink with $\mu_k^3$.
      inner_learning_rate: $\beta$, of the inner variables, in [0, inf), or a schedule.
      multiplier_learning_rate: $\eta$, of the multipliers, in [0, inf), or a schedule.
      averaging: $\mu_0$, in [0, 1), or a schedule. 0: plain implicit differentiation.
      averaging_decay: $q$, in [0, 1]; below a half in the theory.

    Returns:
      The method. Its state holds x, y and one more tree like y.

    Raises:
      TypeError: a value of the wrong kind.
      ValueError: a number outside its range.

    References:
      Liu, Liu, Yao, Zeng and Zhang, "Averaged Method of Multipliers for Bi-Level Optimization
      without Lower-Level Strong Convexity", ICML 2023, arXiv:2302.03407, with the code of the
      authors (vis-opt-group/sl-BAMM): objectives, directions, and $\mu_k$ with $q = 1/10$.

    Differs:
      The multipliers' step size is a hyperparameter; the authors' program searches it along the
      residual, and its $\mu$ keeps its first value. Step sizes do not shrink unless they are
      schedules.

    Example:
      >>> import jax, gradlab as gl
      >>> problem = gl.meta.BilevelProblem(
      ...     outer=lambda x, y, batch: (y - 1.0) ** 2, inner=lambda x, y, batch: (y - 2 * x) ** 2
      ... )
      >>> method = gl.meta.sl_bamm(0.02, 0.2, 0.2)
      >>> state, step = method.init(problem, 0.0, 0.0), jax.jit(method.step)
      >>> for _ in range(300):
      ...     state = step(problem, state)
      >>> round(float(state.x), 2)
      0.5
    """


ENTRY = core.Entry(
    sl_bamm,
    formula="y -= a * p_y; v -= b * (p_yy v - f_y); x -= lr * (f_x - p_xy v); p mixes f into g",
    paper=("M121",),
    example={
        "learning_rate": 0.02,
        "inner_learning_rate": 0.5,
        "multiplier_learning_rate": 0.5,
        "averaging": 0.5,
        "averaging_decay": 0.5,
    },
    search_space={"learning_rate": (1e-4, 1.0, "log"), "averaging": (0.0, 0.9, "linear")},
)
