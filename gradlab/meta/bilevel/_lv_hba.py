"""LV-HBA: bilevel optimization with coupled constraints, by a proximal Lagrangian value."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import Scalar, ScalarOrSchedule, hyper
from gradlab.meta.bilevel._calculus import combine, descend
from gradlab.meta.bilevel._method import BilevelMethod, ScheduledScalar
from gradlab.meta.bilevel._problem import Batches, BilevelProblem


class LVHBAState(NamedTuple):
    """The variables, the saddle point of the proximal Lagrangian, and where it is pulled to."""

    count: jax.Array
    x: Any
    y: Any
    theta: Any
    multipliers: Any
    anchor: Any


class LVHBA(BilevelMethod):
    """One step towards the saddle point, and one along what its value says of x, y and z."""

    needs = ("constraints",)
    learning_rate: ScheduledScalar = hyper("[0, inf)")
    saddle_learning_rate: ScheduledScalar = hyper("[0, inf)")
    anchor_learning_rate: ScheduledScalar = hyper("[0, inf)")
    penalty: ScheduledScalar = hyper("(0, inf)")
    penalty_growth: Scalar = hyper("[0, 1]")
    proximity: Scalar = hyper("(0, inf)")
    multiplier_proximity: Scalar = hyper("(0, inf)")
    multiplier_bound: Scalar = hyper("(0, inf)")

    def start(self, problem: BilevelProblem, x: Any, y: Any, batches: Batches) -> LVHBAState:
        if problem.constraints is not None and problem.project is None:
            raise ValueError(
                f"{self.owner()}: the problem has constraints and needs project=, the nearest "
                "pair (x, y) that keeps them: without it the steps have no lower bound"
            )
        x, y = problem.into_both(x, y)
        shapes = jax.eval_shape(_constraints(problem), x, y)
        zeros = [jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes) for _ in range(2)]
        return LVHBAState(core.step_count(), x, y, jax.tree.map(jnp.copy, y), *zeros)

    def advance(
        self, problem: BilevelProblem, state: LVHBAState, batches: Batches, key: Any
    ) -> LVHBAState:
        count, x, y, theta, multipliers, z = state
        batches, constraints = batches.at(0), _constraints(problem)
        near, near_dual = 1 / self.proximity, 1 / self.multiplier_proximity

        def lagrangian(x: Any, theta: Any, multipliers: Any) -> Any:
            value = problem.inner(x, theta, batches.inner)
            return value + core.inner_product(multipliers, constraints(x, theta))

        slope = jax.grad(lagrangian, argnums=1)(x, theta, multipliers)
        slope = combine((1.0, slope), (near, theta), (-near, y))
        rise = combine((1.0, constraints(x, theta)), (-near_dual, multipliers), (near_dual, z))
        theta = problem.into_inner(descend(theta, self.saddle_learning_rate, slope))
        multipliers = descend(multipliers, -self.saddle_learning_rate, rise)
        multipliers = jax.tree.map(lambda m: jnp.maximum(m, 0), multipliers)

        share = 1 / (self.penalty * (1.0 + count) ** self.penalty_growth)
        fx, fy = jax.grad(problem.outer, argnums=(0, 1))(x, y, batches.outer)
        gx, gy = jax.grad(problem.inner, argnums=(0, 1))(x, y, batches.inner)
        vx = jax.grad(lagrangian)(x, theta, multipliers)
        dx = combine((share, fx), (1.0, gx), (-1.0, vx))
        dy = combine((share, fy), (1.0, gy), (-near, y), (near, theta))
        dz = combine((-near_dual, multipliers), (near_dual, z))
        x, y = problem.into_both(
            descend(x, self.learning_rate, dx), descend(y, self.learning_rate, dy)
        )
        z = descend(z, self.anchor_learning_rate, dz)
        z = jax.tree.map(lambda a: jnp.clip(a, 0, self.multiplier_bound).astype(a.dtype), z)
        return LVHBAState(count, x, y, theta, multipliers, z)


def _constraints(problem: BilevelProblem) -> Any:
    return problem.constraints or (lambda x, y: ())


@core.builds(LVHBA)
def lv_hba(
    learning_rate: ScalarOrSchedule,
    saddle_learning_rate: ScalarOrSchedule,
    anchor_learning_rate: ScalarOrSchedule,
    penalty: ScalarOrSchedule = 1.0,
    penalty_growth: Scalar = 0.3,
    proximity: Scalar = 10.0,
    multiplier_proximity: Scalar = 10.0,
    multiplier_bound: Scalar = 1000.0,
):
    r"""LV-HBA keeps constraints that couple both levels, with first derivatives in a single loop.

    With the proximal Lagrangian value
    $v(x, y, z) = \min_{\theta \in Y} \max_{\lambda \ge 0} \, g(x, \theta)
    + \lambda^\top c(x, \theta) + \frac{1}{2 \gamma_1} \lVert \theta - y \rVert^2
    - \frac{1}{2 \gamma_2} \lVert \lambda - z \rVert^2$ and constraints $c \le 0$:

    $$\begin{aligned}
    \theta &\leftarrow \Pi_Y(\theta - \eta (\nabla_y g(x, \theta)
    + \nabla_y c(x, \theta)^\top \lambda + (\theta - y) / \gamma_1)), \quad
    \lambda \leftarrow (\lambda + \eta (c(x, \theta) - (\lambda - z) / \gamma_2))_+, \\
    d_x &= \nabla_x f(x, y) / c_k + \nabla_x g(x, y) - \nabla_x g(x, \theta)
    - \nabla_x c(x, \theta)^\top \lambda, \\
    d_y &= \nabla_y f(x, y) / c_k + \nabla_y g(x, y) - (y - \theta) / \gamma_1, \\
    (x, y) &\leftarrow \Pi_C((x, y) - \alpha (d_x, d_y)), \quad
    z \leftarrow \Pi_{[0, r]}(z + \beta (\lambda - z) / \gamma_2), \quad
    c_k = c_0 (k + 1)^p
    \end{aligned}$$

    Args:
      learning_rate: $\alpha$, of outer and inner variables, in [0, inf), or a schedule.
      saddle_learning_rate: $\eta$, of $\theta$ and $\lambda$, in [0, inf), or a schedule.
      anchor_learning_rate: $\beta$, of $z$, in [0, inf), or a schedule.
      penalty: $c_0$, in (0, inf), or a schedule. The outer objective's weight is $1 / c_k$.
      penalty_growth: $p$, in [0, 1]; below a half in the theory.
      proximity: $\gamma_1$, in (0, inf).
      multiplier_proximity: $\gamma_2$, in (0, inf).
      multiplier_bound: $r$, the largest multiplier that $z$ may be, in (0, inf).

    Returns:
      The method. Its state holds x, y, one more tree like y, and two like the constraints. A
      problem without constraints is one with none of them.

    Raises:
      TypeError: a value of the wrong kind.
      ValueError: a number outside its range; `init` of a problem with constraints that has no
        `project`.

    References:
      Yao, Yu, Zeng and Zhang, "Constrained Bi-Level Optimization: Proximal Lagrangian Value
      function Approach and Hessian-free Algorithm", ICLR 2024, arXiv:2401.16164, with the code
      of the authors (SUSTech-Optimization/LV-HBA): directions, order of the steps, $p = 0.3$.

    Differs:
      The projection onto pairs that keep the constraints, $\Pi_C$, is the caller's
      `problem.project`; $\Pi_Y$ is `problem.project_inner`.

    Example:
      >>> import jax, jax.numpy as jnp, gradlab as gl
      >>> def project(x, y):
      ...     excess = jnp.maximum(y - x, 0) / 2
      ...     return x + excess, y - excess
      >>> problem = gl.meta.BilevelProblem(
      ...     outer=lambda x, y, batch: (y - 1.0) ** 2 + (x - 1.0) ** 2,
      ...     inner=lambda x, y, batch: (y - 2 * x) ** 2,
      ...     constraints=lambda x, y: y - x,
      ...     project=project,
      ... )
      >>> method = gl.meta.lv_hba(0.05, 0.1, 0.1)
      >>> state, step = method.init(problem, 0.0, 0.0), jax.jit(method.step)
      >>> for _ in range(1000):
      ...     state = step(problem, state)
      >>> round(float(state.x), 1), round(float(state.y), 1)
      (1.0, 1.0)
    """


ENTRY = core.Entry(
    lv_hba,
    formula="(x, y) = P((x, y) - lr * d(f / c + g - v)), v the proximal Lagrangian value of g",
    paper=("M128",),
    example={
        "learning_rate": 0.1,
        "saddle_learning_rate": 0.3,
        "anchor_learning_rate": 0.01,
        "penalty": 2.0,
        "proximity": 2.0,
        "multiplier_proximity": 2.0,
        "multiplier_bound": 0.001,
    },
    search_space={"learning_rate": (1e-3, 1.0, "log"), "penalty": (0.01, 10.0, "log")},
    needs=("constraints",),
)
