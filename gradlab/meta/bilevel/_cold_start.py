"""Cold start: inner training begins anew for every outer step."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import Scalar, Transform
from gradlab.meta.bilevel._problem import Batches, BilevelProblem
from gradlab.meta.bilevel._restarts import TrainThenDifferentiate
from gradlab.optimizers.momentum import sgd


class ColdStartState(NamedTuple):
    """The variables, the outer optimizer's state, and where inner training begins."""

    count: jax.Array
    x: Any
    y: Any
    outer_state: Any
    first: Any


class ColdStart(TrainThenDifferentiate):
    """Inner training from the same start each time."""

    def start(self, problem: BilevelProblem, x: Any, y: Any, batches: Batches) -> ColdStartState:
        first = jax.tree.map(jnp.copy, y)
        return ColdStartState(core.step_count(), x, y, self.outer_optimizer.init(x), first)

    def advance(
        self, problem: BilevelProblem, state: ColdStartState, batches: Batches, key: Any
    ) -> ColdStartState:
        fresh = self.inner_optimizer.init(state.first)
        x, outer_state, y, _ = self.outer_step(problem, state, batches, state.first, fresh)
        return ColdStartState(state.count, x, y, outer_state, state.first)


@core.builds(ColdStart)
def cold_start(
    outer_optimizer: Transform,
    inner_optimizer: Transform,
    neumann_rate: Scalar = 0.1,
    damping: Scalar = 0.0,
    *,
    inner_steps: int = 100,
    hypergradient: str = "neumann",
    terms: int = 10,
):
    r"""Cold start trains the inner variables from their first values for every outer step.

    $$y = \text{optimizer}^T(y_0; g(x, \cdot)), \quad
    x \leftarrow x - \text{update}(\nabla_x f - \nabla^2_{xy} g \,
    (\nabla^2_{yy} g + \delta)^{-1} \nabla_y f)$$

    The inner variables depend on the last outer ones alone, at the price of all inner steps.

    Args:
      outer_optimizer: any optimizer; it sees hypergradients of the outer variables.
      inner_optimizer: any optimizer; its state begins anew in each step.
      neumann_rate: of the Neumann series, at most one over the largest damped curvature, in
        (0, inf). Only `"neumann"` uses it.
      damping: $\delta$, in [0, inf). `"unrolled"` does not use it.
      inner_steps: $T$, at least 1.
      hypergradient: `"neumann"`: a truncated series for the inverse; `"implicit"`: conjugate
        gradients; `"unrolled"`: the derivative of all inner steps.
      terms: of the series, or the most steps of conjugate gradients, at least 1; these end
        at a residual of 1e-5, and before a direction of negative curvature.

    Returns:
      The method. Its state holds x, y, one more tree like y, and the outer optimizer's state.

    Raises:
      TypeError: a value of the wrong kind.
      ValueError: a number outside its range, or an unknown hypergradient.

    References:
      Vicol, Lorraine, Pedregosa, Duvenaud and Grosse, "On Implicit Bias in Overparameterized
      Bilevel Optimization", ICML 2022: cold-start bilevel optimization.

    Differs:
      Nothing is known to; the paper leaves optimizers and hypergradients open.

    Example:
      >>> import jax, gradlab as gl
      >>> problem = gl.meta.BilevelProblem(
      ...     outer=lambda x, y, batch: (y - 1.0) ** 2, inner=lambda x, y, batch: (y - 2 * x) ** 2
      ... )
      >>> method = gl.meta.cold_start(gl.sgd(0.05), gl.sgd(0.2), hypergradient="unrolled")
      >>> state, step = method.init(problem, 0.0, 0.0), jax.jit(method.step)
      >>> for _ in range(100):
      ...     state = step(problem, state)
      >>> round(float(state.x), 2)
      0.5
    """


ENTRY = core.Entry(
    cold_start,
    formula="y = T steps on g from y0; x -= update(f_x - g_xy (g_yy + d)^-1 f_y)",
    paper=("M018",),
    example={
        "outer_optimizer": sgd(0.05),
        "inner_optimizer": sgd(0.5),
        "neumann_rate": 0.7,
        "inner_steps": 20,
    },
    search_space={"neumann_rate": (1e-3, 1.0, "log"), "damping": (1e-6, 1.0, "log")},
)
