"""Anderson acceleration: the next point from several earlier ones."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.linalg import solve_triangular

from gradlab import core
from gradlab.core import Scalar, hyper, static
from gradlab.meta import _linear
from gradlab.solvers._fixed_point_iteration import FixedPointSolver
from gradlab.solvers._solver import Function


class AndersonState(NamedTuple):
    """The latest point and its residual as vectors, and differences of earlier ones as rows."""

    count: jax.Array
    point: jax.Array
    residual: jax.Array
    moves: jax.Array
    changes: jax.Array


class AndersonAcceleration(FixedPointSolver):
    """The point at which earlier residuals, interpolated, are least."""

    beta: Scalar = hyper("(0, inf)")
    ridge: Scalar = hyper("[0, inf)")
    history: int = static(convert=core.count_at_least(1))
    mixing_frequency: int = static(convert=core.count_at_least(1))

    def first(self, fn: Function, x: Any) -> AndersonState:
        del fn
        x, _ = _linear.flattened(x)
        # More differences than unknowns would depend on each other.
        rows = jnp.zeros((min(self.history, x.size), x.size), x.dtype)
        return AndersonState(core.step_count(), x, jnp.zeros_like(x), rows, rows)

    def observed(self, fn: Function, x: Any, state: AndersonState) -> tuple[Any, jax.Array]:
        point, _ = _linear.flattened(x)
        residual = _linear.flattened(self.mapped(fn, x))[0] - point
        count, last_point, last_residual, moves, changes = state
        slot = jnp.remainder(count - 1, len(moves))

        def noted(rows: jax.Array, row: jax.Array) -> jax.Array:
            return jnp.where(count == 0, rows, rows.at[slot].set(row))

        moves = noted(moves, point - last_point)
        changes = noted(changes, residual - last_residual)
        state = AndersonState(count + 1, point, residual, moves, changes)
        return state, core.norm(residual)

    def moved(self, fn: Function, x: Any, state: AndersonState) -> tuple[Any, Any]:
        _, back = _linear.flattened(x)
        mixes = state.count % self.mixing_frequency == 0
        x = lax.cond(mixes, self._mixed, lambda state: state.point + state.residual, state)
        return back(x), state

    def _mixed(self, state: AndersonState) -> jax.Array:
        _, x, f, moves, changes = state
        beta, ridge = (jnp.asarray(h, x.dtype) for h in (self.beta, self.ridge))
        sizes = core.norm(changes, axis=1)
        units = core.divide(changes, sizes[:, None])
        # As one least squares problem: its normal equations would square what is ill-conditioned.
        # A difference that is not there yet gets a row of its own, and so no weight.
        held = jnp.where(sizes > 0, core.sqrt(ridge), 1)
        q, r = jnp.linalg.qr(jnp.concatenate([units.T, jnp.diag(held)]))
        gamma = solve_triangular(r, q[: len(f)].T @ f)
        gamma = jnp.where(jnp.all(jnp.isfinite(gamma)), gamma, 0)
        gamma = core.divide(gamma, sizes)
        return x + beta * f - gamma @ (moves + beta * changes)

    def shown(self, state: AndersonState) -> None:
        del state


@core.builds(AndersonAcceleration)
def anderson_acceleration(
    history: int = 5,
    mixing_frequency: int = 1,
    beta: Scalar = 1.0,
    ridge: Scalar = 1e-10,
    tol: Scalar = 1e-5,
    max_steps: int = 100,
    *,
    differentiate: str = "implicit",
    linear_solver: Any = None,
    memory: str | int = "plain",
    on_failure: str = "ignore",
):
    r"""Anderson acceleration steps to where the residuals of earlier points would cancel.

    $$\begin{aligned}
    &f_k = T(x_k) - x_k, \quad
    \gamma = \arg\min_\gamma \|f_k - \Delta F_k \gamma\|^2
    + \rho \textstyle\sum_j \gamma_j^2 \|\Delta f_j\|^2 \\
    &x_{k+1} = x_k + \beta f_k - (\Delta X_k + \beta \Delta F_k)\, \gamma
    \end{aligned}$$

    with the columns of ΔX and ΔF the last m differences of points and of their residuals. On a
    linear map it is essentially GMRES: with m at least the number of unknowns it is there after
    as many steps and one. It goes on until the residual is at most ε; the solution has the
    derivatives of the fixed point.

    Args:
      history: m, how many differences are kept (jaxopt's `history_size` is m + 1), at least 1.
        No more are than there are unknowns.
      mixing_frequency: one of so many steps is accelerated, the others are x ← T(x); at least 1.
      beta: β, damping, in (0, inf); 1 takes the whole step.
      ridge: ρ [share of each difference's square], in [0, inf). It keeps differences that depend
        on each other apart. With zero, where they do, a plain step is taken.
      tol: ε [units of the parameters], in [0, inf). The norm is the Euclidean one of all
        parameters together.
      max_steps: after which it gives up, at least 1.
      differentiate: `"implicit"`: by the implicit function theorem. `"unroll"`: through the
        steps that were made, as a scan of `max_steps`. `"one_step"`: ∂T/∂θ alone.
      linear_solver: of `"implicit"`, for systems with I − ∂T/∂x: what
        `gl.meta.custom_fixed_point` takes as `solver`. None: `"normal_cg"`.
      memory: of `"unroll"`, what is stored and what computed again, as in `gl.meta.unroll`.
      on_failure: what becomes of parameters that did not converge. `"ignore"` gives them as they
        are, with `converged` false; `"nan"` makes them and their derivatives NaN, lane by lane
        under `vmap`; `"raise"` raises, under `jit` when the program runs.

    Returns:
      The solver, as data. While it runs it keeps 2 m + 2 vectors as long as all parameters.

    Raises:
      TypeError: an argument of the wrong kind.
      ValueError: a number outside its range, or an unknown word; when it runs: the value of the
        map is no tree like the parameters.
      ModuleNotFoundError: a linear solver, or an error under `jit`, needs the extra `meta`.

    References:
      Anderson, "Iterative Procedures for Nonlinear Integral Equations", Journal of the ACM 12,
      1965. Walker and Ni, "Anderson Acceleration for Fixed-Point Iterations", SIAM Journal on
      Numerical Analysis 49, 2011, the form without constraint.

    Differs:
      The ridge, and steps between accelerated ones, are not in these papers but in jaxopt; there
      the ridge is absolute, and acceleration waits until the history is full.

    Example:
      >>> import gradlab as gl, jax, jax.numpy as jnp
      >>> def slowly(x, a):
      ...     return x + 0.1 * jnp.array([1.0, 0.1]) * (a - x)
      >>> solver = gl.solvers.anderson_acceleration(tol=1e-5)
      >>> solution = jax.jit(lambda a: solver.run(slowly, jnp.zeros(2), a))
      >>> int(solution(1.0).steps), bool(solution(1.0).converged)
      (3, True)
      >>> jax.jacobian(lambda a: solution(a).params)(1.0).round(3).tolist()
      [1.0, 1.0]
    """


def _run(solver: Any, problem: Any, init: Any, x: Any) -> Any:
    return solver.run(problem.mapping, init, x)


ENTRY = core.Entry(
    anderson_acceleration,
    formula="x += beta f - (dX + beta dF) g, g = argmin |f - dF g|^2 + ridge |g|^2, f = T(x) - x",
    paper=("anderson1965iterative", "walker2011anderson"),
    example={"history": 2, "tol": 1e-5},
    search_space={
        "beta": (0.1, 1.0, "linear"),
        "ridge": (1e-12, 1e-4, "log"),
        "tol": (1e-8, 1e-2, "log"),
    },
    estimate=_run,
)
