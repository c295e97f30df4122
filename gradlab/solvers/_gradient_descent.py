"""Gradient descent, with a step that is given or searched for."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp

from gradlab import core
from gradlab.core import Params, Scalar, ScalarOrSchedule, Transform, Updates
from gradlab.optimizers.momentum import sgd
from gradlab.solvers._minimize import Minimize, minimize
from gradlab.transforms import (
    scale_by_backtracking_linesearch,
    scale_by_hager_zhang_linesearch,
    scale_by_zoom_linesearch,
)

LINE_SEARCHES = {
    "backtracking": lambda: scale_by_backtracking_linesearch(
        40,
        decrease_factor=0.5,
        increase_factor=2.0,
        max_learning_rate=float("inf"),
        store_grad=True,
    ),
    "hager_zhang": scale_by_hager_zhang_linesearch,
    "zoom": lambda: scale_by_zoom_linesearch(40),
}


class ExtrapolatedState(NamedTuple):
    """t of the paper, and where the last step ended, seen from the parameters."""

    momentum: Any
    end: Any


class Extrapolated(core.Rule):
    """Goes on beyond the end of each step, in the direction from the last end to this one."""

    def init(self, params: Params) -> ExtrapolatedState:
        return ExtrapolatedState(jnp.ones([], jnp.float32), core.moments_like(params))

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, ExtrapolatedState]:
        t = core.next_in_sequence(state.momentum)
        further = (state.momentum - 1) / t

        def leaf(h: Any, u: Any, end: Any) -> tuple:
            beyond = further.astype(u.real.dtype) * (u - end)
            return u + beyond, -beyond

        updates, end = self.each(leaf, updates, state.end)
        return updates, ExtrapolatedState(t.astype(state.momentum.dtype), end)


def _search(choice: Any) -> Transform:
    if not isinstance(choice, str):
        return core.adopt_transform(choice, "gradient_descent")
    if choice not in LINE_SEARCHES:
        raise ValueError(f"gradient_descent: line_search={choice!r}, not one of {[*LINE_SEARCHES]}")
    return LINE_SEARCHES[choice]()


def gradient_descent(
    learning_rate: ScalarOrSchedule = 1.0,
    line_search: Any = "zoom",
    *,
    acceleration: bool = False,
    tol: Scalar = 1e-4,
    max_steps: int = 1000,
    differentiate: str = "implicit",
    linear_solver: Any = None,
    memory: str | int = "plain",
    has_aux: bool = False,
    on_failure: str = "ignore",
) -> Minimize:
    r"""Gradient descent until the gradient is small, with steps that a line search finds.

    $$x_{k+1} = y_k - \eta_k \nabla f(y_k),\quad
    y_{k+1} = x_{k+1} + \frac{t_k - 1}{t_{k+1}} (x_{k+1} - x_k),\quad
    t_{k+1} = \tfrac12\Big(1 + \sqrt{1 + 4 t_k^2}\Big)$$

    where y is x without acceleration. It is `minimize` of a chain of `sgd`, the search, and, with
    acceleration, this extrapolation.

    Args:
      learning_rate: the step η in [0, inf) where there is no search, or a schedule; with one, what
        its steps are measured in.
      line_search: `"zoom"`, `"hager_zhang"` or `"backtracking"`; a transformation that scales
        updates, such as `gl.scale_by_zoom_linesearch(50, curv_rtol=0.1)`, with settings of your
        own; or None. Backtracking compares values alone, which ends where rounding hides their
        decrease: at a gradient of about the root of the dtype's precision.
      acceleration: whether to extrapolate as Nesterov does. The value then need not fall at every
        step.
      tol: length of the gradient at which it is done, in [0, inf).
      max_steps: after which it gives up, at least 1.
      differentiate: as in `minimize`: `"implicit"`, `"unroll"` or `"one_step"`.
      linear_solver: as in `minimize`.
      memory: as in `minimize`.
      has_aux: whether the objective returns a pair of a scalar and of something else.
      on_failure: as in `minimize`: `"ignore"`, `"nan"` or `"raise"`.

    Returns:
      The solver, as data; `opt.links` holds what it is made of. While it runs it keeps one
      gradient, and with acceleration 1 × params more.

    Raises:
      TypeError: `line_search` is neither a name nor a transformation.
      ValueError: a number outside its range, or an unknown word.

    References:
      Nesterov, "A method for solving the convex programming problem with convergence rate
      O(1/k²)", 1983; t as in Beck and Teboulle, "A Fast Iterative Shrinkage-Thresholding
      Algorithm for Linear Inverse Problems", SIAM J. Imaging Sci. 2(1), 2009, equations 4.1 to
      4.3.

    Differs:
      With acceleration the parameters are y, at which gradients are taken, and the solution is
      one of them.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> solver = gl.solvers.gradient_descent()
      >>> scale = jnp.array([1.0, 30.0])
      >>> found = solver.run(lambda x, a: jnp.sum(scale * (x - a) ** 2), jnp.zeros(2), 3.0)
      >>> bool(found.converged), [round(float(x), 3) for x in found.params]
      (True, [3.0, 3.0])
    """
    links = [sgd(learning_rate)]
    if line_search is not None:
        links.append(_search(line_search))
    if core.flag(acceleration):
        links.append(core.build(Extrapolated))
    return minimize(
        core.chain(*links),
        tol,
        max_steps,
        differentiate=differentiate,
        linear_solver=linear_solver,
        memory=memory,
        has_aux=has_aux,
        on_failure=on_failure,
    )


gradient_descent.builds = Minimize  # pyright: ignore[reportFunctionMemberAccess]


ENTRY = core.Entry(
    gradient_descent,
    formula="x -= lr * grad f(x), lr from a line search, until |grad f(x)| <= tol",
    paper=("nesterov1983method", "beck2009fast"),
    example={
        "learning_rate": 0.5,
        "line_search": None,
        "acceleration": True,
        "tol": 1e-5,
        "max_steps": 400,
    },
    search_space={"tol": (1e-8, 1e-2, "log")},
    estimate=lambda solver, problem, init, x: solver.run(problem.objective, init, x),
)
