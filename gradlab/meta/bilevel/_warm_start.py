"""Warm start: inner training goes on where it stopped, under the new outer variables."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax

from gradlab import core
from gradlab.core import Scalar, Transform
from gradlab.meta.bilevel._problem import Batches, BilevelProblem
from gradlab.meta.bilevel._restarts import TrainThenDifferentiate
from gradlab.optimizers.momentum import sgd


class WarmStartState(NamedTuple):
    """The variables, and the states of both optimizers."""

    count: jax.Array
    x: Any
    y: Any
    outer_state: Any
    inner_state: Any


class WarmStart(TrainThenDifferentiate):
    """Inner training that is never started over."""

    def start(self, problem: BilevelProblem, x: Any, y: Any, batches: Batches) -> WarmStartState:
        states = self.outer_optimizer.init(x), self.inner_optimizer.init(y)
        return WarmStartState(core.step_count(), x, y, *states)

    def advance(
        self, problem: BilevelProblem, state: WarmStartState, batches: Batches, key: Any
    ) -> WarmStartState:
        x, outer_state, y, inner_state = self.outer_step(
            problem, state, batches, state.y, state.inner_state
        )
        return WarmStartState(state.count, x, y, outer_state, inner_state)


@core.builds(WarmStart)
def warm_start(
    outer_optimizer: Transform,
    inner_optimizer: Transform,
    neumann_rate: Scalar = 0.1,
    damping: Scalar = 0.0,
    *,
    inner_steps: int = 10,
    hypergradient: str = "neumann",
    terms: int = 10,
):
    r"""Warm start trains the inner variables on from where they are, and differentiates there.

    $$y \leftarrow \text{optimizer}^T(y; g(x, \cdot)), \quad
    x \leftarrow x - \text{update}(\nabla_x f - \nabla^2_{xy} g \,
    (\nabla^2_{yy} g + \delta)^{-1} \nabla_y f)$$

    Inner variables remember all outer ones that they were trained under: where the inner
    problem has several solutions, the solution that is found depends on the path.

    Args:
      outer_optimizer: any optimizer; it sees hypergradients of the outer variables.
      inner_optimizer: any optimizer; its state is kept from step to step.
      neumann_rate: of the Neumann series, at most one over the largest damped curvature, in
        (0, inf). Only `"neumann"` uses it.
      damping: $\delta$, in [0, inf). `"unrolled"` does not use it.
      inner_steps: $T$, at least 1.
      hypergradient: `"neumann"`: a truncated series for the inverse; `"implicit"`: conjugate
        gradients; `"unrolled"`: the derivative of the inner steps of this outer step.
      terms: of the series, or the most steps of conjugate gradients, at least 1; these end
        at a residual of 1e-5, and before a direction of negative curvature.

    Returns:
      The method. Its state holds x, y and the states of both optimizers.

    Raises:
      TypeError: a value of the wrong kind.
      ValueError: a number outside its range, or an unknown hypergradient.

    References:
      Vicol, Lorraine, Pedregosa, Duvenaud and Grosse, "On Implicit Bias in Overparameterized
      Bilevel Optimization", ICML 2022: warm-start bilevel optimization. The series: Lorraine,
      Vicol and Duvenaud, "Optimizing Millions of Hyperparameters by Implicit Differentiation",
      AISTATS 2020, arXiv:1911.02590.

    Differs:
      Nothing is known to; the paper leaves optimizers and hypergradients open.

    Example:
      >>> import jax, gradlab as gl
      >>> problem = gl.meta.BilevelProblem(
      ...     outer=lambda x, y, batch: (y - 1.0) ** 2, inner=lambda x, y, batch: (y - 2 * x) ** 2
      ... )
      >>> method = gl.meta.warm_start(gl.sgd(0.05), gl.sgd(0.2))
      >>> state, step = method.init(problem, 0.0, 0.0), jax.jit(method.step)
      >>> for _ in range(100):
      ...     state = step(problem, state)
      >>> round(float(state.x), 2)
      0.5
    """


ENTRY = core.Entry(
    warm_start,
    formula="y = T steps on g from the last y; x -= update(f_x - g_xy (g_yy + d)^-1 f_y)",
    paper=("M018",),
    example={"outer_optimizer": sgd(0.05), "inner_optimizer": sgd(0.5), "neumann_rate": 0.7},
    search_space={"neumann_rate": (1e-3, 1.0, "log"), "damping": (1e-6, 1.0, "log")},
)
