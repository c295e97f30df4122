"""BSVRB: variance reduction block by block, with Hessian-vector products."""

from __future__ import annotations

from typing import Any

import jax

from gradlab import core
from gradlab.core import Scalar, ScalarOrSchedule, hyper
from gradlab.meta.bilevel._blocks import BlockMethod
from gradlab.meta.bilevel._calculus import (
    combine,
    descend,
    grad_inner,
    in_ball,
    products,
    zeros_like,
)
from gradlab.meta.bilevel._method import ScheduledScalar
from gradlab.meta.bilevel._problem import Batches, BilevelProblem


class BSVRB(BlockMethod):
    """The solution of each block's linear system is a variable that descends."""

    multiplier_learning_rate: ScheduledScalar = hyper("[0, inf)")
    radius: Scalar = hyper("(0, inf)")

    def first(self, y: Any) -> Any:
        return zeros_like(y)

    def block(
        self, problem: BilevelProblem, x: Any, y: Any, solution: Any, batches: Batches
    ) -> tuple[Any, Any, Any]:
        fx, fy = jax.grad(problem.outer, argnums=(0, 1))(x, y, batches.outer)
        slope = grad_inner(problem.inner, x, y, batches.inner)
        cross, curvature = products(problem.inner, x, y, batches.inner)(solution)
        return slope, combine((1.0, curvature), (-1.0, fy)), combine((1.0, fx), (-1.0, cross))

    def settle(self, solution: Any, residuals: Any) -> tuple[Any, Any]:
        moved = descend(solution, self.multiplier_learning_rate, residuals)
        return jax.vmap(in_ball, in_axes=(0, None))(moved, self.radius), residuals


@core.builds(BSVRB)
def bsvrb(
    learning_rate: ScalarOrSchedule,
    inner_learning_rate: ScalarOrSchedule,
    multiplier_learning_rate: ScalarOrSchedule,
    block_rate: ScalarOrSchedule = 0.9,
    block_correction: ScalarOrSchedule = 1.0,
    outer_rate: ScalarOrSchedule = 0.9,
    radius: Scalar = 10.0,
    *,
    sampled_blocks: int | None = None,
):
    r"""BSVRB solves many inner problems under one outer one, and visits a few in each step.

    With blocks $i \in I_t$ sampled, and every difference taken on the batch of this step:

    $$\begin{aligned}
    s_i &\leftarrow (1 - \alpha) s_i + \alpha \nabla_y g_i
    + \gamma (\nabla_y g_i - \nabla_y g_i^{\text{before}}), \\
    u_i &\leftarrow (1 - \alpha) u_i + \alpha r_i + \gamma (r_i - r_i^{\text{before}}), \quad
    r_i = \nabla^2_{yy} g_i \, v_i - \nabla_y f_i, \\
    m &\leftarrow (1 - \beta) (m - G^{\text{before}}) + G, \quad
    G = \frac{1}{|I_t|} \sum_{i \in I_t} \nabla_x f_i - \nabla^2_{xy} g_i \, v_i, \\
    y_i &\leftarrow y_i - \tau s_i, \quad v_i \leftarrow \Pi_{B(0, R)}(v_i - \bar\tau u_i)
    \quad \text{for all } i, \quad x \leftarrow x - \eta m
    \end{aligned}$$

    The problem's objectives are those of one block: `y` has a leading axis of blocks in the
    state, and none where the objectives see it; the same holds for batches. The outer objective
    that is minimised is the mean over blocks.

    Args:
      learning_rate: $\eta$, of the outer variables, in [0, inf), or a schedule.
      inner_learning_rate: $\tau$, of the inner variables, in [0, inf), or a schedule.
      multiplier_learning_rate: $\bar\tau$, of the linear systems, in [0, inf), or a schedule.
      block_rate: $\alpha$, in (0, 1], or a schedule.
      block_correction: $\gamma$, in [0, inf), or a schedule.
      outer_rate: $\beta$, in (0, 1], or a schedule.
      radius: $R$, of the ball that each $v_i$ stays in, in (0, inf).
      sampled_blocks: $|I_t|$, at least 1 and at most the number of blocks. None: all.

    Returns:
      The method. Its state holds x and two more like it, and y and five more like it.

    Raises:
      TypeError: a value of the wrong kind; a step without `key`.
      ValueError: a number outside its range; inner variables without a leading axis of blocks.

    References:
      Hu, Qiu, Guo, Zhang and Yang, "Blockwise Stochastic Variance-Reduced Methods with Parallel
      Speedup for Multi-Block Bilevel Optimization", ICML 2023, with the code of the authors
      (quanqihu/BSVRB_ICML2023): BSVRB v2.

    Differs:
      Blocks that are not sampled move along their estimates in the same step; the authors'
      program makes these moves up when the block is sampled next, and takes the first number of
      the vector $\nabla^2_{xy} g_i \, v_i$ for all of them. Estimates start at zero, the outer one
      at the first gradient.

    Example:
      >>> import jax, jax.numpy as jnp, gradlab as gl
      >>> problem = gl.meta.BilevelProblem(
      ...     outer=lambda x, y, target: (y - target) ** 2,
      ...     inner=lambda x, y, batch: (y - 2 * x) ** 2,
      ... )
      >>> batches = gl.meta.Batches(outer=jnp.array([0.0, 1.0, 2.0]))
      >>> method = gl.meta.bsvrb(0.02, 0.2, 0.2, outer_rate=0.1, sampled_blocks=2)
      >>> state, step = method.init(problem, 0.0, jnp.zeros(3)), jax.jit(method.step)
      >>> for key in jax.random.split(jax.random.key(0), 300):
      ...     state = step(problem, state, batches, key)
      >>> bool(abs(state.x - 0.5) < 0.1)
      True
    """


ENTRY = core.Entry(
    bsvrb,
    formula="m = (1 - b) * (m - G_old) + G, G = mean_i f_x - g_xy v_i, v_i near g_yy^-1 f_y",
    paper=("M125",),
    example={
        "learning_rate": 0.01,
        "inner_learning_rate": 0.3,
        "multiplier_learning_rate": 0.4,
        "block_correction": 0.5,
        "outer_rate": 0.1,
        "radius": 3.0,
        "sampled_blocks": 2,
    },
    search_space={"learning_rate": (1e-4, 1.0, "log"), "inner_learning_rate": (1e-3, 1.0, "log")},
    needs=("blocks", "key"),
    traits=core.Traits(stochastic=True),
)
