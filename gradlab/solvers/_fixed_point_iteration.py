"""A map, applied again and again."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import Scalar
from gradlab.solvers._solver import Function, Solver, fitting


class FixedPointSolver(Solver):
    """A method that looks for a point which a map leaves where it is."""

    def mapped(self, fn: Function, x: Any) -> Any:
        """Where the map leads, a tree like x."""
        return fitting(self.owner(), x, fn(x))

    def last(self, fn: Function, x: Any, state: Any) -> Any:
        del state
        return self.mapped(fn, x)

    def residual(self, fn: Function, x: Any) -> Any:
        return jax.tree.map(jnp.subtract, x, self.mapped(fn, x))


class FixedPointIteration(FixedPointSolver):
    """The plain iteration; its state is the next point."""

    def first(self, fn: Function, x: Any) -> Any:
        del fn
        return x

    def observed(self, fn: Function, x: Any, state: Any) -> tuple[Any, jax.Array]:
        del state
        mapped = self.mapped(fn, x)
        return mapped, core.global_norm(jax.tree.map(jnp.subtract, mapped, x))

    def moved(self, fn: Function, x: Any, state: Any) -> tuple[Any, Any]:
        del fn, x
        return state, state

    def shown(self, state: Any) -> None:
        del state


@core.builds(FixedPointIteration)
def fixed_point_iteration(
    tol: Scalar = 1e-5,
    max_steps: int = 100,
    *,
    differentiate: str = "implicit",
    linear_solver: Any = None,
    memory: str | int = "plain",
    on_failure: str = "ignore",
):
    r"""Applies a map again and again, until it leaves the point where it is.

    $$x \leftarrow T(x, \theta) \quad\text{until}\quad \|T(x, \theta) - x\|_2 \le \epsilon$$

    `fixed_point_iteration().run(fixed_point_fn, init, *args)` is a `Solution` whose parameters
    have the derivatives of the fixed point.

    Args:
      tol: ε [units of the parameters], in [0, inf). The norm is the Euclidean one of all
        parameters together.
      max_steps: after which it gives up, at least 1.
      differentiate: `"implicit"`: by the implicit function theorem. `"unroll"`: through the
        steps that were made, as a scan of `max_steps`. `"one_step"`: ∂T/∂θ alone,
        the derivative of the last step, which is near where T contracts fast.
      linear_solver: of `"implicit"`, for systems with I − ∂T/∂x: what
        `gl.meta.custom_fixed_point` takes as `solver`. None: `"normal_cg"`.
      memory: of `"unroll"`, what is stored and what computed again, as in `gl.meta.unroll`.
      on_failure: what becomes of parameters that did not converge. `"ignore"` gives them as they
        are, with `converged` false; `"nan"` makes them and their derivatives NaN, lane by lane
        under `vmap`; `"raise"` raises, under `jit` when the program runs.

    Returns:
      The solver, as data. While it runs it keeps one more tree like the parameters.

    Raises:
      TypeError: an argument of the wrong kind.
      ValueError: a number outside its range, or an unknown word; when it runs: the value of the
        map is no tree like the parameters.
      ModuleNotFoundError: a linear solver, or an error under `jit`, needs the extra `meta`.

    References:
      Blondel, Berthet, Cuturi, Frostig, Hoyer, Llinares-López, Pedregosa and Vert, "Efficient
      and Modular Implicit Differentiation", arXiv:2105.15183, equation 3. Bolte, Pauwels and
      Vaiter, "One-Step Differentiation of Iterative Algorithms", arXiv:2305.13768v1.

    Differs:
      jaxopt's iteration returns T(x) with the error of x; here both are of x.

    Example:
      >>> import gradlab as gl, jax
      >>> def babylonian(x, a):
      ...     return (x + a / x) / 2
      >>> solver = gl.solvers.fixed_point_iteration(tol=1e-6)
      >>> root = jax.jit(lambda a: solver.run(babylonian, 1.0, a).params)
      >>> round(float(root(9.0)), 4), round(float(jax.grad(root)(9.0)), 4)
      (3.0, 0.1667)
    """


def _run(solver: Any, problem: Any, init: Any, x: Any) -> Any:
    return solver.run(problem.mapping, init, x)


ENTRY = core.Entry(
    fixed_point_iteration,
    formula="x <- T(x) until |T(x) - x| <= tol",
    paper=("M057", "bolte2023onestep"),
    example={"tol": 1e-5},
    search_space={"tol": (1e-8, 1e-2, "log")},
    estimate=_run,
)
